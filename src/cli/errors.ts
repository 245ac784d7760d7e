import type { CommanderError } from 'commander'
import { ERROR_CODES, PineError } from '../core/error.ts'
import type { Io } from './io.ts'

const INTERRUPTED = 130
const BUG = 70

/** Prints an error for a person, or as a document with `--json`; returns the exit code. */
export function reportError(io: Io, error: unknown, json: boolean): number {
  if (error instanceof PineError) return reportKnown(io, error, json)
  if (error instanceof Error && error.name === 'AbortError') {
    if (json) printBare(io, 'INTERRUPTED', 'stopped by a signal')
    io.stderr('pine-update: interrupted; what was written stays, and the next run takes it up\n')
    return INTERRUPTED
  }
  const detail = error instanceof Error ? error.message : String(error)
  if (json) printBare(io, 'BUG', detail)
  io.stderr(`pine-update: this is a bug: ${detail}\n  PINE_DEBUG=1 shows where; please report it\n`)
  if (process.env.PINE_DEBUG !== undefined && error instanceof Error) io.stderr(`${error.stack}\n`)
  return BUG
}

function reportKnown(io: Io, error: PineError, json: boolean): number {
  if (json) printDocument(io, errorDocument(error))
  for (const { code, message, hint } of [error, ...error.also]) {
    io.stderr(`pine-update: ${code}: ${message}\n`)
    if (hint !== undefined) io.stderr(`  ${hint}\n`)
  }
  return error.exitCode
}

/** The same for what commander found; it has printed its own message. */
export function reportUsage(io: Io, { message }: CommanderError, json: boolean): number {
  if (json) printBare(io, 'USAGE', message.replace(/^error: /, ''))
  return ERROR_CODES.USAGE
}

function printBare(io: Io, code: string, message: string): void {
  printDocument(io, { code, message, hint: null })
}

function printDocument(io: Io, error: Record<string, unknown>): void {
  io.stdout(`${JSON.stringify({ error }, null, 2)}\n`)
}

/** An error as programs get it. */
export function errorDocument({ code, message, hint, also }: PineError): Record<string, unknown> {
  const others = also.length === 0 ? {} : { also: also.map(errorDocument) }
  return { code, message, hint: hint ?? null, ...others }
}
