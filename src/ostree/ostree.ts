import * as v from 'valibot'
import { PineError } from '../core/error.ts'
import { type Call, type CallOptions, callsOf } from './calls.ts'
import { type OstreeProcess, startChild } from './child-process.ts'
import type { FfiName } from './library.ts'
import { type FromChild, received } from './messages.ts'
import { REPO_REQUESTS, REQUESTS, type RepoVerb, type VerbName } from './requests.ts'
import type { Result } from './verbs.ts'

type Asked<K extends VerbName> = v.InferInput<(typeof REQUESTS)[K]>

/** An open repository: each verb of `REPO_REQUESTS`. After `close` they throw `USAGE`. */
export type OstreeRepo = {
  readonly [K in RepoVerb]: (
    request: Asked<K>,
    options?: CallOptions,
  ) => Promise<K extends keyof Results ? Results[K] : undefined>
}
type Results = { [K in Exclude<RepoVerb, 'close'>]: Result<K> }

/** libostree in a process of its own. To be closed: this process would wait for it. */
export interface Ostree {
  /** What calls it. */
  readonly ffi: FfiName
  /** Of libostree, such as `2022.7`. */
  readonly version: string
  readonly pid: number
  open(request: Asked<'open'>, options?: CallOptions): Promise<OstreeRepo>
  /** Opens it too where it is there. */
  init(request: Asked<'init'>, options?: CallOptions): Promise<OstreeRepo>
  /** Cancels what runs, and closes everything. */
  close(): Promise<void>
  /** At once, for when this process ends and can wait for nothing. */
  kill(): void
}

export interface OstreeOptions {
  /** For the process, over this one's; `PINE_OSTREE_FFI` and `PINE_OSTREE_LIBRARY` choose what is loaded. */
  readonly env?: Readonly<Record<string, string>>
}

/** Starts the process. Throws `OSTREE_MISSING` where libostree or a package to call it with is not installed. */
export async function startOstree({ env = {} }: OstreeOptions = {}): Promise<Ostree> {
  const child = startChild(env)
  const call = callsOf(child)
  const { ffi, version } = await ready(child)
  const opening =
    (verb: 'open' | 'init') =>
    async (request: unknown, options: CallOptions = {}) => {
      const repo = await call(verb, 0, checked(verb, request), options)
      return repoOf(call, Number(repo))
    }
  const { pid, stop: close, kill } = child
  return { ffi, version, pid, open: opening('open'), init: opening('init'), close, kill }
}

/** libostree for `use`, gone after it, and also where this process ends meanwhile. Throws what `startOstree` throws. */
export async function withOstree<T>(use: (ostree: Ostree) => Promise<T>): Promise<T> {
  const ostree = await startOstree()
  // Before a folder goes that it is writing to: listeners are called in their order.
  process.once('exit', ostree.kill)
  try {
    return await use(ostree)
  } finally {
    process.off('exit', ostree.kill)
    await ostree.close()
  }
}

async function ready(child: OstreeProcess): Promise<Extract<FromChild, { kind: 'ready' }>> {
  const first = new Promise<FromChild>((resolve) => child.onMessage(resolve))
  const message = await Promise.race([first, child.ended])
  if (typeof message === 'string') {
    throw new PineError('OSTREE_CRASHED', `the process of libostree ended at its start: ${message}`)
  }
  if (message.kind === 'ready') return message
  await child.stop()
  throw message.kind === 'unable'
    ? received(message.error, undefined)
    : new Error(`${message.kind} came first`)
}

function repoOf(call: Call, repo: number): OstreeRepo {
  const verbs = Object.keys(REPO_REQUESTS) as RepoVerb[]
  const bound = verbs.map((verb) => {
    const run = async (request: unknown, options: CallOptions = {}): Promise<unknown> =>
      await call(verb, repo, checked(verb, request), options)
    return [verb, run] as const
  })
  return Object.fromEntries(bound) as OstreeRepo
}

/** A wrong value never gets as far as libostree. */
function checked(verb: VerbName, request: unknown): unknown {
  const parsed = v.safeParse(REQUESTS[verb], request)
  if (parsed.success) return parsed.output
  const problems = parsed.issues.map((issue) => `${v.getDotPath(issue) ?? 'request'}: ${issue.message}`)
  throw new PineError('USAGE', `${verb}: ${problems.join('; ')}`)
}
