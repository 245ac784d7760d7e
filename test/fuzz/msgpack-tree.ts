import type { Random } from './random.ts'
import { Pairs, type Tree } from './tree.ts'

/** A MessagePack writer that can also write what no honest one does: keys twice or unsorted, long forms, floats. */
export function writeMsgpack(tree: Tree, random?: Random): Buffer {
  const parts: Buffer[] = []
  write(parts, tree, random)
  return Buffer.concat(parts)
}

/** `random`: now and then a longer form than is needed. */
function write(parts: Buffer[], tree: Tree, random: Random | undefined): void {
  const longer = random?.once(200) ? 1 + random.below(3) : 0
  if (tree === null) parts.push(Buffer.of(0xc0))
  else if (typeof tree === 'boolean') parts.push(Buffer.of(tree ? 0xc3 : 0xc2))
  else if (typeof tree === 'number' || typeof tree === 'bigint') parts.push(numberBytes(tree, longer))
  else if (typeof tree === 'string') {
    const bytes = Buffer.from(tree)
    parts.push(lengthBytes(bytes.length, longer, STRING), bytes)
  } else if (Buffer.isBuffer(tree)) parts.push(lengthBytes(tree.length, longer, BYTES), tree)
  else if (Array.isArray(tree)) {
    parts.push(lengthBytes(tree.length, longer, ARRAY))
    for (const item of tree) write(parts, item, random)
  } else {
    parts.push(lengthBytes(tree.entries.length, longer, MAP))
    for (const item of tree.entries.flat()) write(parts, item, random)
  }
}

/** The form within the first byte: its tag and how much fits; then the tags of lengths of 1, 2 and 4 bytes. */
interface Form {
  readonly fixed: number
  readonly most: number
  readonly tags: readonly [number | undefined, number, number]
}
const STRING: Form = { fixed: 0xa0, most: 31, tags: [0xd9, 0xda, 0xdb] }
const BYTES: Form = { fixed: 0, most: -1, tags: [0xc4, 0xc5, 0xc6] }
const ARRAY: Form = { fixed: 0x90, most: 15, tags: [undefined, 0xdc, 0xdd] }
const MAP: Form = { fixed: 0x80, most: 15, tags: [undefined, 0xde, 0xdf] }

function lengthBytes(length: number, longer: number, { fixed, most, tags }: Form): Buffer {
  const shortest = length <= most ? 0 : length < 0x100 && tags[0] !== undefined ? 1 : length < 0x10000 ? 2 : 3
  const step = Math.min(3, shortest + longer)
  if (step === 0) return Buffer.of(fixed | length)
  const [width, tag] =
    step === 1 && tags[0] !== undefined ? [1, tags[0]] : step < 3 ? [2, tags[1]] : [4, tags[2]]
  const bytes = Buffer.alloc(1 + width)
  bytes[0] = tag
  bytes.writeUIntBE(length, 1, width)
  return bytes
}

function numberBytes(value: number | bigint, longer: number): Buffer {
  const isWhole = typeof value === 'bigint' || (Number.isSafeInteger(value) && !Object.is(value, -0))
  if (!isWhole) return tagged(0xcb, 8, (bytes) => bytes.writeDoubleBE(Number(value), 1))
  return value < 0 ? signedBytes(BigInt(value), longer) : unsignedBytes(BigInt(value), longer)
}

/** From these on a longer form is needed. */
const STEPS = [0x80n, 0x100n, 0x1_0000n, 0x1_0000_0000n]

function unsignedBytes(value: bigint, longer: number): Buffer {
  const step = Math.min(4, STEPS.filter((from) => value >= from).length + longer)
  if (step === 0) return Buffer.of(Number(value))
  if (step < 4) {
    const width = 1 << (step - 1)
    return tagged(0xcb + step, width, (bytes) => bytes.writeUIntBE(Number(value), 1, width))
  }
  // Ours are int 64, others write uint 64.
  const tag = longer === 0 && value < 2n ** 63n ? 0xd3 : 0xcf
  return tagged(tag, 8, (bytes) => bytes.writeBigUInt64BE(BigInt.asUintN(64, value), 1))
}

function signedBytes(value: bigint, longer: number): Buffer {
  if (value >= -32n && longer === 0) return Buffer.of(Number(value) & 0xff)
  return tagged(0xd3, 8, (bytes) => bytes.writeBigInt64BE(BigInt.asIntN(64, value), 1))
}

function tagged(tag: number, width: number, write: (bytes: Buffer) => void): Buffer {
  const bytes = Buffer.alloc(1 + width)
  bytes[0] = tag
  write(bytes)
  return bytes
}

/** Reads anything that `writeMsgpack` writes, canonical or not; undefined for other bytes. */
export function readMsgpack(bytes: Buffer): Tree | undefined {
  const cursor = { bytes, at: 0 }
  try {
    const tree = read(cursor, 0)
    return cursor.at === bytes.length ? tree : undefined
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}

interface Cursor {
  readonly bytes: Buffer
  at: number
}

const MAX_DEPTH = 1500

function read(cursor: Cursor, depth: number): Tree {
  if (depth > MAX_DEPTH) throw new RangeError('deep')
  const tag = take(cursor, 1).readUInt8()
  if (tag < 0x80) return tag
  if (tag < 0x90) return readMap(cursor, tag & 15, depth)
  if (tag < 0xa0) return readArray(cursor, tag & 15, depth)
  if (tag < 0xc0) return take(cursor, tag & 31).toString()
  return tag >= 0xe0 ? tag - 0x100 : readLong(cursor, tag, depth)
}

/** Where a length follows the tag, in 1, 2 or 4 bytes. */
function readLong(cursor: Cursor, tag: number, depth: number): Tree {
  const length = (first: number, width: number): number => readLength(cursor, width << (tag - first))
  if (tag >= 0xd9 && tag <= 0xdb) return take(cursor, length(0xd9, 1)).toString()
  if (tag >= 0xc4 && tag <= 0xc6) return Buffer.from(take(cursor, length(0xc4, 1)))
  if (tag >= 0xdc && tag <= 0xdd) return readArray(cursor, length(0xdc, 2), depth)
  if (tag >= 0xde && tag <= 0xdf) return readMap(cursor, length(0xde, 2), depth)
  return tag >= 0xcc && tag <= 0xce ? length(0xcc, 1) : readScalar(cursor, tag)
}

function readScalar(cursor: Cursor, tag: number): Tree {
  switch (tag) {
    case 0xc0:
      return null
    case 0xc2:
    case 0xc3:
      return tag === 0xc3
    case 0xcb:
      return take(cursor, 8).readDoubleBE()
    case 0xcf:
      return plain(take(cursor, 8).readBigUInt64BE())
    case 0xd3:
      return plain(take(cursor, 8).readBigInt64BE())
    default:
      throw new RangeError(`tag ${tag}`)
  }
}

function plain(value: bigint): number | bigint {
  return Number.isSafeInteger(Number(value)) ? Number(value) : value
}

function readArray(cursor: Cursor, count: number, depth: number): Tree[] {
  const items: Tree[] = []
  for (let index = 0; index < count; index++) items.push(read(cursor, depth + 1))
  return items
}

function readMap(cursor: Cursor, count: number, depth: number): Pairs {
  const entries: [Tree, Tree][] = []
  for (let index = 0; index < count; index++) entries.push([read(cursor, depth + 1), read(cursor, depth + 1)])
  return new Pairs(entries)
}

function readLength(cursor: Cursor, width: number): number {
  return take(cursor, width).readUIntBE(0, width)
}

function take(cursor: Cursor, count: number): Buffer {
  if (count > cursor.bytes.length - cursor.at) throw new RangeError('short')
  cursor.at += count
  return cursor.bytes.subarray(cursor.at - count, cursor.at)
}
