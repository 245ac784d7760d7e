import { PineError } from '../core/error.ts'
import type { OstreeProcess } from './child-process.ts'
import { type FromChild, received } from './messages.ts'
import type { VerbName } from './requests.ts'

export interface CallOptions {
  /**
   * Cancels the verb: its promise rejects with the reason, once libostree has taken back what it began. Where that takes longer
   * than 3 s, as it may for a checkout, the process is ended, and with it all that is open.
   */
  readonly signal?: AbortSignal | undefined
  /** Told of objects done and in all, by `fsck` and `pullLocal` (once a second, all that is known so far): no other can tell. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined
}

/** A verb, the number of its repository, and a request that was checked. */
export type Call = (verb: VerbName, repo: number, request: unknown, options: CallOptions) => Promise<unknown>

interface Pending {
  readonly verb: VerbName
  readonly onProgress: CallOptions['onProgress']
  readonly signal: AbortSignal | undefined
  resolve(result: unknown): void
  reject(error: unknown): void
}

const CANCEL_MS = 3000

/** Calls verbs of that process, any number at a time. They throw what the verb throws, and `OSTREE_CRASHED`. */
export function callsOf(child: OstreeProcess): Call {
  const pending = new Map<number, Pending>()
  let end: string | undefined
  let calls = 0
  child.onMessage((message) => settle(pending, message))
  void child.ended.then((how) => {
    end = how
    for (const { verb, signal, reject } of pending.values())
      reject(signal?.aborted === true ? signal.reason : crashed(how, verb))
    pending.clear()
  })

  const send = async (
    verb: VerbName,
    repo: number,
    request: unknown,
    { signal, onProgress }: CallOptions,
  ) => {
    const id = ++calls
    let timer: NodeJS.Timeout | undefined
    const cancel = (): void => {
      child.send({ cancel: id })
      timer = setTimeout(child.kill, CANCEL_MS)
    }
    signal?.addEventListener('abort', cancel, { once: true })
    try {
      return await new Promise((resolve, reject) => {
        pending.set(id, { verb, onProgress, signal, resolve, reject })
        child.send({ id, verb, repo, request })
      })
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener('abort', cancel)
    }
  }

  return async (verb, repo, request, options) => {
    options.signal?.throwIfAborted()
    if (end !== undefined) throw crashed(end, verb)
    return await send(verb, repo, request, options)
  }
}

function settle(pending: Map<number, Pending>, message: FromChild): void {
  if (message.kind === 'ready' || message.kind === 'unable') return
  const call = pending.get(message.id)
  if (message.kind === 'progress') {
    call?.onProgress?.(message.done, message.total)
    return
  }
  pending.delete(message.id)
  if (message.kind === 'done') call?.resolve(message.result)
  else call?.reject(received(message.error, call.signal))
}

function crashed(how: string, verb: VerbName): PineError {
  return new PineError('OSTREE_CRASHED', `the process of libostree ended before ${verb} was done: ${how}`, {
    hint: 'start it again; where the same call ends it again, look at the repository with "ostree fsck"',
  })
}
