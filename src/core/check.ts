import { PineError } from './error.ts'

/** One thing that was looked at before anything is written. */
export interface Check {
  /** What was looked at, such as `slot b`. */
  readonly name: string
  /** What was found and what is needed, with numbers. */
  readonly found: string
  /** Why it must not go on. */
  readonly problem?: PineError
}

/** Throws where a check found a problem: the first, with all others beside it. */
export function requirePassed(checks: readonly Check[]): void {
  const [first, ...also] = checks.flatMap(({ problem }) => problem ?? [])
  if (first === undefined) return
  const { code, message, hint, cause } = first
  throw new PineError(code, message, { ...(hint !== undefined && { hint }), cause, also })
}
