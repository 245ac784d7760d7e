import type { Format, Found } from './payload.ts'

/** A regular file in a cpio archive: its path without leading slash, and where its content is. */
export interface CpioMember {
  readonly path: string
  readonly at: number
  readonly bytes: number
}

interface Entry {
  readonly name: string
  readonly mode: number
  readonly at: number
  readonly bytes: number
  readonly end: number
}

// Linux Documentation/driver-api/early-userspace/buffer-format.rst: numbers are eight hexadecimal digits; names and
// contents are padded to four bytes, counted from the start of the archive.
const MAGIC = Buffer.from('070701')
const HEAD_BYTES = 110
const FIELD = { mode: 14, bytes: 54, nameBytes: 94 } as const
const TRAILER = 'TRAILER!!!'
const TYPE_MASK = 0o170000
const REGULAR_FILE = 0o100000

/** One archive, in which nothing is looked for. */
export const cpio: Format = { magic: MAGIC, read: readArchive }

function readArchive(region: Buffer): Found | undefined {
  for (const { name, end } of entries(region)) {
    if (name === TRAILER) return { payloads: [], end }
  }
  return undefined
}

/**
 * Regular files that are not empty in a cpio archive (newc), or in several with zeros between them; [] when it is none.
 * Stops at what it does not understand.
 */
export function cpioMembers(content: Buffer): CpioMember[] {
  const members: CpioMember[] = []
  for (let start = 0; start < content.length; ) {
    let end: number | undefined
    for (const entry of entries(content.subarray(start))) {
      if (entry.name === TRAILER) end = start + entry.end
      const isFile = (entry.mode & TYPE_MASK) === REGULAR_FILE && entry.bytes > 0
      if (isFile) members.push({ path: plainPath(entry.name), at: start + entry.at, bytes: entry.bytes })
    }
    if (end === undefined) return members
    start = skipZeros(content, end)
  }
  return members
}

/** The first byte from `at` on that is not zero, or the end. */
export function skipZeros(bytes: Buffer, at: number): number {
  let next = at
  while (next < bytes.length && bytes[next] === 0) next++
  return next
}

/** The entries of one archive up to the trailer, or to the first that is none or not complete. */
function* entries(archive: Buffer): Generator<Entry> {
  for (let at = 0; ; ) {
    const entry = readEntry(archive, at)
    if (entry === undefined) return
    yield entry
    if (entry.name === TRAILER) return
    at = entry.end
  }
}

function readEntry(archive: Buffer, start: number): Entry | undefined {
  if (!archive.subarray(start, start + MAGIC.length).equals(MAGIC)) return undefined
  const field = (offset: number): number => hexNumber(archive, start + offset)
  const nameAt = start + HEAD_BYTES
  const nameBytes = field(FIELD.nameBytes)
  const bytes = field(FIELD.bytes)
  const at = padded(nameAt + nameBytes)
  // Also false for NaN. The padding of the last entry may be missing.
  if (!(at + bytes <= archive.length && nameBytes > 0)) return undefined
  const name = archive.toString('utf8', nameAt, nameAt + nameBytes - 1)
  return { name, mode: field(FIELD.mode), at, bytes, end: Math.min(padded(at + bytes), archive.length) }
}

/** NaN for what is no number. */
function hexNumber(bytes: Buffer, at: number): number {
  const digits = bytes.toString('latin1', at, at + 8)
  return /^[0-9a-f]{8}$/i.test(digits) ? Number.parseInt(digits, 16) : Number.NaN
}

function padded(bytes: number): number {
  return Math.ceil(bytes / 4) * 4
}

function plainPath(name: string): string {
  return name.replace(/^(\.?\/)+/, '')
}
