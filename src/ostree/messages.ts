import { type ErrorCode, PineError } from '../core/error.ts'
import { Cancelled } from './g-error.ts'
import type { FfiName } from './library.ts'
import type { VerbName } from './requests.ts'

/** What the child is sent. */
export type ToChild =
  | { readonly id: number; readonly verb: VerbName; readonly repo: number; readonly request: unknown }
  | { readonly cancel: number }

/** What it sends: first `ready` or `unable`, then any number of `progress` and one end for each verb. */
export type FromChild =
  | { readonly kind: 'ready'; readonly ffi: FfiName; readonly version: string }
  | { readonly kind: 'unable'; readonly error: SentError }
  | { readonly kind: 'progress'; readonly id: number; readonly done: number; readonly total: number }
  | { readonly kind: 'done'; readonly id: number; readonly result: unknown }
  | { readonly kind: 'failed'; readonly id: number; readonly error: SentError }

/** An error between processes: its class would not come along. */
export type SentError =
  | {
      readonly kind: 'pine'
      readonly code: ErrorCode
      readonly message: string
      readonly hint: string | undefined
    }
  | { readonly kind: 'cancelled' }
  | { readonly kind: 'bug'; readonly stack: string }

export function sendable(error: unknown): SentError {
  if (error instanceof PineError) {
    const { code, message, hint } = error
    return { kind: 'pine', code, message, hint }
  }
  if (error instanceof Cancelled) return { kind: 'cancelled' }
  return { kind: 'bug', stack: error instanceof Error ? String(error.stack) : String(error) }
}

/** The error to throw; a cancel throws what the signal was aborted with. */
export function received(error: SentError, signal: AbortSignal | undefined): unknown {
  if (error.kind === 'pine') {
    return new PineError(error.code, error.message, error.hint === undefined ? {} : { hint: error.hint })
  }
  if (error.kind === 'cancelled') return signal?.reason ?? new Error('the libostree process was told to end')
  return new Error(error.stack)
}
