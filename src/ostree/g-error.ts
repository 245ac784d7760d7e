import { type ErrorCode, PineError } from '../core/error.ts'

/** What a GError says. */
export interface GErrorFields {
  /** Such as `g-io-error-quark`. */
  readonly domain: string
  readonly code: number
  readonly message: string
}

interface Meaning {
  readonly code: ErrorCode
  readonly hint?: string
}

const IO_DOMAIN = 'g-io-error-quark'
const CANCELLED = 19

const CORRUPT: Meaning = {
  code: 'OSTREE_CORRUPT',
  hint: 'get it anew from where it came from; fsck names every object that is damaged',
}
const MISSING: Meaning = { code: 'OSTREE_NOT_FOUND', hint: 'see which refs and commits the repository has' }
const DENIED: Meaning = { code: 'IO_FAILED', hint: 'run it as the owner of the repository' }

/** By their numbers in GIOErrorEnum, gio/gioenums.h. */
const MEANINGS: Readonly<Record<number, Meaning>> = {
  1: MISSING,
  2: { code: 'FILE_EXISTS' },
  12: { code: 'IO_FAILED', hint: 'make room on the file system' },
  14: DENIED,
  21: { code: 'IO_FAILED', hint: 'the file system is mounted read-only' },
  34: CORRUPT,
  35: CORRUPT,
}

/** What libostree has no number for. It speaks English: no locale is set. */
const SAID: readonly (readonly [RegExp, Meaning])[] = [
  [/^Refspec .* not found|^No such metadata object/, MISSING],
  [/^opendir\(.*No such file or directory/, MISSING],
  [/corrupt|checksum/i, CORRUPT],
]

/** It was cancelled, by us. */
export class Cancelled extends Error {}

/** `doing` is what was called, for what has no better name. */
export function errorOf({ domain, code, message }: GErrorFields, doing: string): Error {
  if (domain === IO_DOMAIN && code === CANCELLED) return new Cancelled(message)
  const byNumber = domain === IO_DOMAIN ? MEANINGS[code] : undefined
  const said = SAID.find(([pattern]) => pattern.test(message))?.[1]
  const meaning = byNumber ?? said ?? { code: 'OSTREE_FAILED' }
  const hint = meaning.hint ?? `the call was ${doing}`
  const cause = `${domain} ${code}`
  return new PineError(meaning.code, `libostree says: ${message}`, { hint, cause })
}
