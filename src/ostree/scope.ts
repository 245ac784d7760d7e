import type { Binding } from './bind.ts'
import { Cancelled } from './g-error.ts'
import type { Handle } from './handle.ts'
import type { HandleType } from './symbols.ts'
import type { Verb } from './verb.ts'

/** All that one verb is handed, and the way to cancel it. */
export interface VerbScope {
  readonly verb: Omit<Verb, 'progress'>
  /** May come while libostree works, from this thread. */
  cancel(): void
  /** Rejects with `Cancelled` then. */
  readonly cancelled: Promise<never>
  /** Closes what was not handed over, what came last first. */
  close(): void
}

export function openScope(binding: Binding): VerbScope {
  const handles = new Set<Handle<HandleType>>()
  const keep = (handle: Handle<HandleType>): void => void handles.add(handle)
  const { g_cancellable_new } = binding.functions({ cancellable: undefined, keep })
  const cancellable = g_cancellable_new()
  const fn = binding.functions({ cancellable, keep })
  let reject: ((error: Cancelled) => void) | undefined
  const cancelled = new Promise<never>((_, no) => {
    reject = no
  })
  return {
    verb: {
      fn,
      memory: binding.memory,
      handOver: (handle) => {
        handles.delete(handle)
        return handle
      },
    },
    cancel: () => {
      reject?.(new Cancelled('cancelled'))
      if (!cancellable.closed) fn.g_cancellable_cancel(cancellable)
    },
    cancelled,
    close: () => {
      for (const handle of [...handles].reverse()) handle.close()
      handles.clear()
    },
  }
}
