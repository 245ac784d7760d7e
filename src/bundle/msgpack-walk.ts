import { PineError } from '../core/error.ts'

const MAX_DEPTH = 8
const MAX_ITEMS = 1 << 20
const MAX_MAP_ENTRIES = 64
const MAX_STRING_BYTES = 4096
const KEY = /^[a-z][A-Za-z0-9]{0,30}$/

type Kind = 'scalar' | 'string' | 'bytes' | 'array' | 'map'
interface Shape {
  kind: Kind
  /** Bytes of a string or blob, items of an array, entries of a map, bytes after the tag of a scalar. */
  count: number
}

/** Shapes whose length follows the tag, by tag: kind and width of the length in bytes. */
const LONG: ReadonlyMap<number, readonly [Kind, number]> = new Map([
  [0xc4, ['bytes', 1]],
  [0xc5, ['bytes', 2]],
  [0xc6, ['bytes', 4]],
  [0xd9, ['string', 1]],
  [0xda, ['string', 2]],
  [0xdb, ['string', 4]],
  [0xdc, ['array', 2]],
  [0xdd, ['array', 4]],
  [0xde, ['map', 2]],
  [0xdf, ['map', 4]],
])
/** nil, booleans, unsigned integers, and the signed one that msgpackr takes above 32 bits, by tag: bytes after the tag. */
const SCALAR: ReadonlyMap<number, number> = new Map([
  [0xc0, 0],
  [0xc2, 0],
  [0xc3, 0],
  [0xcc, 1],
  [0xcd, 2],
  [0xce, 4],
  [0xd3, 8],
])

/**
 * Walks over MessagePack bytes without building anything, so that the decoder only ever meets shapes we allow:
 * nil, booleans, integers, strings, blobs, arrays, and maps with sorted plain keys. Throws `BUNDLE_MALFORMED`.
 */
export function checkShape(bytes: Buffer): void {
  const cursor = { bytes, at: 0, items: 0 }
  walk(cursor, 1)
  if (cursor.at !== bytes.length) throw malformed(`${bytes.length - cursor.at} bytes follow its end`)
}

interface Cursor {
  readonly bytes: Buffer
  at: number
  items: number
}

function walk(cursor: Cursor, depth: number): void {
  if (depth > MAX_DEPTH) throw malformed(`it is nested deeper than ${MAX_DEPTH}`)
  if (++cursor.items > MAX_ITEMS) throw malformed(`it has more than ${MAX_ITEMS} items`)
  const { kind, count } = readShape(cursor)
  if (kind === 'map') walkMap(cursor, count, depth)
  else if (kind === 'array') walkArray(cursor, count, depth)
  else skip(cursor, count)
  if (kind === 'string' && count > MAX_STRING_BYTES) {
    throw malformed(`a string has ${count} bytes, the limit is ${MAX_STRING_BYTES}`)
  }
}

function walkArray(cursor: Cursor, items: number, depth: number): void {
  for (let i = 0; i < items; i++) walk(cursor, depth + 1)
}

function walkMap(cursor: Cursor, entries: number, depth: number): void {
  if (entries > MAX_MAP_ENTRIES)
    throw malformed(`a map has ${entries} entries, the limit is ${MAX_MAP_ENTRIES}`)
  let before = ''
  for (let i = 0; i < entries; i++) {
    const key = readKey(cursor)
    if (key <= before)
      throw malformed(`key "${key}" comes after "${before}": keys are sorted and appear once`)
    before = key
    walk(cursor, depth + 1)
  }
}

function readKey(cursor: Cursor): string {
  const { kind, count } = readShape(cursor)
  const start = cursor.at
  if (kind !== 'string') throw malformed('a map key is not a string')
  skip(cursor, count)
  const key = cursor.bytes.toString('latin1', start, cursor.at)
  if (!KEY.test(key)) throw malformed(`"${key.slice(0, 32)}" is no key`)
  return key
}

// https://github.com/msgpack/msgpack/blob/master/spec.md: the first byte names the format.
function readShape(cursor: Cursor): Shape {
  const tag = readUint(cursor, 1)
  if (tag < 0x80) return { kind: 'scalar', count: 0 }
  if (tag < 0x90) return { kind: 'map', count: tag & 0x0f }
  if (tag < 0xa0) return { kind: 'array', count: tag & 0x0f }
  if (tag < 0xc0) return { kind: 'string', count: tag & 0x1f }
  const scalar = SCALAR.get(tag)
  if (scalar !== undefined) return { kind: 'scalar', count: scalar }
  const long = LONG.get(tag)
  if (long === undefined) throw malformed(`type 0x${tag.toString(16)} is not allowed`)
  return { kind: long[0], count: readUint(cursor, long[1]) }
}

function readUint(cursor: Cursor, width: number): number {
  const start = cursor.at
  skip(cursor, width)
  return cursor.bytes.readUIntBE(start, width)
}

function skip(cursor: Cursor, count: number): void {
  if (count > cursor.bytes.length - cursor.at) throw malformed('it ends in the middle of a value')
  cursor.at += count
}

function malformed(what: string): PineError {
  return new PineError('BUNDLE_MALFORMED', `the manifest is not canonical msgpack: ${what}`)
}
