import { Packr } from 'msgpackr/pack'
import { Unpackr } from 'msgpackr/unpack'
import { PineError } from '../core/error.ts'
import { checkShape } from './msgpack-walk.ts'

/** What canonical bytes can hold. Numbers are integers from 0 to 2^53 - 1. */
export type Canonical =
  | null
  | boolean
  | number
  | string
  | Uint8Array
  | readonly Canonical[]
  | { readonly [key: string]: Canonical }

const packr = new Packr({ useRecords: false, variableMapSize: true })
const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: 'bigint' })

/** The one MessagePack form of `value`: sorted keys, shortest headers. */
export function encodeCanonical(value: Canonical): Buffer {
  return Buffer.from(packr.pack(toPackable(value)))
}

/** As `decodeCanonical`, with an error of whoever asks. */
export function decodeCanonicalOr(
  bytes: Buffer,
  malformed: (what: string, cause: unknown) => Error,
): Canonical {
  try {
    return decodeCanonical(bytes)
  } catch (cause) {
    throw malformed('it is not canonical MessagePack', cause)
  }
}

/** Accepts nothing but what `encodeCanonical` makes. Throws `BUNDLE_MALFORMED`. */
export function decodeCanonical(bytes: Buffer): Canonical {
  checkShape(bytes)
  const value = fromUnpacked(unpack(bytes))
  // Whatever the walk lets through (long headers, broken text) comes out different.
  if (!encodeCanonical(value).equals(bytes))
    throw new PineError('BUNDLE_MALFORMED', 'the manifest is not in canonical form')
  return value
}

function unpack(bytes: Buffer): unknown {
  try {
    return unpackr.unpack(bytes)
  } catch (cause) {
    throw new PineError('BUNDLE_MALFORMED', 'the manifest is not msgpack', { cause })
  }
}

function toPackable(value: Canonical): unknown {
  if (typeof value === 'number') return packableInteger(value)
  if (value === null || typeof value !== 'object') return value
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  if (Array.isArray(value)) return value.map(toPackable)
  const entries = Object.entries(value as { [key: string]: Canonical })
  return Object.fromEntries(
    entries.sort(([x], [y]) => (x < y ? -1 : 1)).map(([key, item]) => [key, toPackable(item)]),
  )
}

/** msgpackr writes numbers above 32 bits as floats, but a BigInt as an integer. */
function packableInteger(value: number): number | bigint {
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`${value} cannot stand in a manifest`)
  return value > 0xffff_ffff ? BigInt(value) : value
}

function fromUnpacked(value: unknown): Canonical {
  if (typeof value === 'bigint') return safeInteger(value)
  if (value === null || typeof value === 'boolean' || typeof value === 'number' || typeof value === 'string')
    return value
  if (value instanceof Uint8Array) return value
  if (Array.isArray(value)) return value.map(fromUnpacked)
  if (typeof value !== 'object') throw new Error(`unexpected ${typeof value} after the shape check`)
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, fromUnpacked(item)]))
}

function safeInteger(value: bigint): number {
  if (value >= 0 && value <= Number.MAX_SAFE_INTEGER) return Number(value)
  throw new PineError(
    'BUNDLE_MALFORMED',
    `the manifest holds ${value}, expected 0 to ${Number.MAX_SAFE_INTEGER}`,
  )
}
