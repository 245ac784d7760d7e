import * as v from 'valibot'
import { PineError } from '../core/error.ts'
import { MAX_KEY_LIST_BYTES, MAX_SIGNATURES } from './header.ts'
import { decodeCanonicalOr, encodeCanonical } from './msgpack.ts'
import { type BundleSignature, decodeSignatures, encodeSignatures, signaturesBytes } from './signatures.ts'

const MAGIC = Buffer.from('PINEKEYS', 'latin1')
const FORMAT = 1
const START_BYTES = 16
const LINK_BYTES = 8
const MAX_LISTS = 64
const MAX_LIST_BYTES = 8192

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const key = v.strictObject({
  /** An Ed25519 public key. */
  raw: v.pipe(v.instance(Uint8Array), v.length(32, 'expected 32 bytes')),
  comment: v.pipe(v.string(), v.regex(/^\P{C}{0,80}$/u, 'expected at most 80 printable characters')),
})
const role = v.pipe(
  v.strictObject({
    /** How many different keys of the role must sign. */
    threshold: v.pipe(count, v.minValue(1)),
    keys: v.pipe(v.array(key), v.minLength(1), v.maxLength(MAX_SIGNATURES)),
  }),
  v.check(
    ({ threshold, keys }) => threshold <= keys.length,
    'the threshold is higher than the number of keys',
  ),
)
const KeyListSchema = v.strictObject({
  /** The list after this one has the next number. */
  version: v.pipe(count, v.minValue(1)),
  /** Seconds since 1970. */
  created: count,
  expires: v.exactOptional(count),
  /** Sign the key list after this one. */
  root: role,
  /** Sign bundles. */
  release: role,
})

/** Which keys count for what; docs/bundle-format.md, "Key lists". */
export type KeyList = v.InferOutput<typeof KeyListSchema>

/** A key list as it lies in a file: not believed yet. */
export interface SignedKeyList {
  readonly bytes: Buffer
  readonly signatures: readonly BundleSignature[]
}

export function encodeKeyList({ root, release, ...rest }: KeyList): Buffer {
  const roleOf = ({ threshold, keys }: KeyList['root']) => ({
    threshold,
    keys: keys.map(({ raw, comment }) => ({ raw, comment })),
  })
  return encodeCanonical({ ...rest, root: roleOf(root), release: roleOf(release) })
}

/** Throws `KEY_LIST_INVALID`. */
export function decodeKeyList(bytes: Buffer): KeyList {
  const result = v.safeParse(KeyListSchema, decodeCanonicalOr(bytes, invalid))
  if (!result.success) {
    const problems = result.issues.map((issue) => `${v.getDotPath(issue) ?? 'list'}: ${issue.message}`)
    throw invalid(problems.join('; '))
  }
  const { created, expires } = result.output
  if (expires !== undefined && expires <= created) throw invalid('it expires before it was created')
  return result.output
}

/** A chain of key lists in one file, oldest first. */
export function encodeKeyLists(lists: readonly SignedKeyList[]): Buffer {
  const start = Buffer.alloc(START_BYTES)
  MAGIC.copy(start)
  start.writeUInt32LE(FORMAT, 8)
  start.writeUInt32LE(lists.length, 12)
  const encoded = Buffer.concat([start, ...lists.flatMap(encodeLink)])
  decodeKeyLists(encoded)
  return encoded
}

function encodeLink({ bytes, signatures }: SignedKeyList): Buffer[] {
  const lengths = Buffer.alloc(LINK_BYTES)
  lengths.writeUInt32LE(bytes.length, 0)
  lengths.writeUInt32LE(signatures.length, 4)
  return [lengths, bytes, encodeSignatures(signatures)]
}

/** Splits a chain into its lists; decodes none of them. Throws `KEY_LIST_INVALID`. */
export function decodeKeyLists(bytes: Buffer): SignedKeyList[] {
  if (bytes.length < START_BYTES || !bytes.subarray(0, 8).equals(MAGIC))
    throw invalid('it does not start with "PINEKEYS"')
  const [format, lists] = [bytes.readUInt32LE(8), bytes.readUInt32LE(12)]
  if (format !== FORMAT) throw invalid(`its format is ${format}, this pine-update reads ${FORMAT}`)
  if (lists > MAX_LISTS) throw invalid(`it has ${lists} lists, at most ${MAX_LISTS} are read`)
  if (bytes.length > MAX_KEY_LIST_BYTES)
    throw invalid(`it has ${bytes.length} bytes, at most ${MAX_KEY_LIST_BYTES} are read`)
  let at = START_BYTES
  const take = (length: number): Buffer => {
    if (at + length > bytes.length) throw invalid('it ends early')
    at += length
    return bytes.subarray(at - length, at)
  }
  const links = Array.from({ length: lists }, () => takeLink(take))
  if (at !== bytes.length) throw invalid(`${bytes.length - at} bytes follow its end`)
  return links
}

function takeLink(take: (length: number) => Buffer): SignedKeyList {
  const lengths = take(LINK_BYTES)
  const [listBytes, signatures] = [lengths.readUInt32LE(0), lengths.readUInt32LE(4)]
  if (listBytes > MAX_LIST_BYTES || signatures > MAX_SIGNATURES) {
    throw invalid(`a list has ${listBytes} bytes and ${signatures} signatures, over the limits`)
  }
  return { bytes: take(listBytes), signatures: decodeSignatures(take(signaturesBytes(signatures))) }
}

function invalid(what: string, cause?: unknown): PineError {
  return new PineError('KEY_LIST_INVALID', `the key list is invalid: ${what}`, { cause })
}
