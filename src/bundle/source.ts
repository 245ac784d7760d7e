import * as v from 'valibot'
import type { Canonical } from './msgpack.ts'

/** What an image was made of. For people: no host decides by it. */
export interface Source {
  readonly ostree: OstreeCommit
}

/** A commit, and what it says of itself as far as that fits. */
export interface OstreeCommit {
  /** SHA-256, in hex. */
  readonly commit: string
  /** What it went by: `web/stable`, or `origin:web/stable`. */
  readonly ref?: string
  /** Seconds since 1970. */
  readonly timestamp?: number
  readonly subject?: string
  /** Of its metadata, as ostree-core.h names it: free text. */
  readonly version?: string
}

const COMMIT_BYTES = 32
const MAX_SUBJECT = 200
const MAX_VERSION = 64
/** The end of the year 9999: what can be written as a date. */
const MAX_TIMESTAMP = 253_402_300_799

/** A remote is before the colon. Narrower than OSTree's own refs, which take letters of any script. */
const REF = /^(?=.{1,255}$)([A-Za-z0-9_][\w.-]*:)?[A-Za-z0-9_][\w.-]*(\/[A-Za-z0-9_][\w.-]*)*$/
/** Would make more than one line, or none. By ranges: properties of characters change with the version of Unicode. */
const CONTROLS = '\u0000-\u001f\u007f-\u009f\u2028\u2029'
const LINE = new RegExp(`^[^${CONTROLS}]+$`)

const line = (most: number) =>
  v.pipe(v.string(), v.maxLength(most), v.regex(LINE, 'expected one line of text'))

const OPTIONAL = {
  ref: v.pipe(v.string(), v.regex(REF, 'expected a ref such as web/stable')),
  timestamp: v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(MAX_TIMESTAMP)),
  subject: line(MAX_SUBJECT),
  version: line(MAX_VERSION),
}

export const SourceSchema = v.strictObject({
  ostree: v.strictObject({
    commit: v.pipe(
      v.instance(Uint8Array),
      v.length(COMMIT_BYTES, `expected ${COMMIT_BYTES} bytes`),
      v.transform((bytes) => Buffer.from(bytes).toString('hex')),
    ),
    ref: v.exactOptional(OPTIONAL.ref),
    timestamp: v.exactOptional(OPTIONAL.timestamp),
    subject: v.exactOptional(OPTIONAL.subject),
    version: v.exactOptional(OPTIONAL.version),
  }),
})

/** What `SourceSchema` reads. */
export function encodeSource({ ostree: { commit, ...rest } }: Source): Canonical {
  return { ostree: { ...rest, commit: Buffer.from(commit, 'hex') } }
}

/** What a commit says of itself, before anybody looked at it. */
interface Said {
  readonly commit: string
  readonly ref: string | undefined
  readonly timestamp: number
  readonly subject: string
  readonly version: unknown
}

/** What a manifest can carry of it: a long subject is cut, and what does not fit is left out. */
export function sourceOf({ commit, subject, ...rest }: Said): Source {
  const said = { ...rest, subject: oneLine(subject) }
  const fitting = (['ref', 'timestamp', 'subject', 'version'] as const).flatMap((name) =>
    v.is(OPTIONAL[name], said[name]) ? [[name, said[name]] as const] : [],
  )
  return { ostree: { commit, ...Object.fromEntries(fitting) } }
}

function oneLine(text: string): string {
  const first = text.split('\n')[0] ?? ''
  const plain = first.replace(new RegExp(`[${CONTROLS}]`, 'g'), ' ').trim()
  // Half a character is none.
  return plain.slice(0, MAX_SUBJECT).replace(/[\ud800-\udbff]$/, '')
}
