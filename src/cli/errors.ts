import { PineError } from '../core/error.ts'
import type { Io } from './io.ts'

const INTERRUPTED = 130
const BUG = 70

/** Prints an error for a person, or as a document with `--json`; returns the exit code. */
export function reportError(io: Io, error: unknown, json: boolean): number {
  if (error instanceof PineError) {
    if (json) io.stdout(`${JSON.stringify({ error: asDocument(error) }, null, 2)}\n`)
    for (const each of [error, ...error.also]) {
      io.stderr(`pine-update: ${each.code}: ${each.message}\n`)
      if (each.hint !== undefined) io.stderr(`  ${each.hint}\n`)
    }
    return error.exitCode
  }
  if (error instanceof Error && error.name === 'AbortError') {
    io.stderr('pine-update: interrupted; what was written stays, and the next run takes it up\n')
    return INTERRUPTED
  }
  const detail = error instanceof Error ? error.message : String(error)
  if (json) io.stdout(`${JSON.stringify({ error: { code: 'BUG', message: detail } }, null, 2)}\n`)
  io.stderr(`pine-update: this is a bug: ${detail}\n  PINE_DEBUG=1 shows where; please report it\n`)
  if (process.env.PINE_DEBUG !== undefined && error instanceof Error) io.stderr(`${error.stack}\n`)
  return BUG
}

function asDocument({ code, message, hint, also }: PineError): Record<string, unknown> {
  const others = also.length === 0 ? {} : { also: also.map(asDocument) }
  return { code, message, hint: hint ?? null, ...others }
}
