import { few, type Random } from './random.ts'

/** Where lengths, counts and positions tend to go wrong. */
export const EDGES: readonly bigint[] = [
  ...[0, 1, 2, 3, 4, 7, 8, 15, 16, 24, 31, 32, 33, 63, 64, 71, 72, 96, 100, 127, 128, 255, 256, 257].map(
    BigInt,
  ),
  ...[511, 512, 513, 1023, 1024, 4095, 4096, 4097, 8191, 8192, 8193, 32_767, 32_768, 65_535, 65_536].map(
    BigInt,
  ),
  ...[20n, 24n, 31n, 32n, 44n, 48n, 52n, 53n, 63n, 64n].flatMap((power) => [
    2n ** power - 1n,
    2n ** power,
    2n ** power + 1n,
  ]),
]

const WIDTHS = [1, 2, 4, 8] as const
/** Records of tables tend to be so long. */
const STRIDES = [1, 2, 4, 8, 12, 16, 20, 24, 32, 64, 72, 128, 256, 512]
const MAX_STEPS = 6

type ByteStep = (bytes: Buffer, random: Random, donor: Buffer) => Buffer

const STEPS: readonly ByteStep[] = [
  flipBit,
  flipBit,
  setByte,
  setEdge,
  setEdge,
  addToNumber,
  truncate,
  insert,
  remove,
  repeat,
  copyWithin,
  copyWithin,
  swapRecords,
  fill,
  takeFromDonor,
  splice,
]

/** One to six changes that know nothing of what the bytes mean. The result has at most `most` bytes. */
export function mutateBytes(bytes: Buffer, random: Random, donor: Buffer, most = 65_536): Buffer {
  let mutated: Buffer = Buffer.from(bytes)
  for (let left = few(random, MAX_STEPS); left > 0; left--)
    mutated = random.pick(STEPS)(mutated, random, donor)
  return mutated.subarray(0, most)
}

function flipBit(bytes: Buffer, random: Random): Buffer {
  const at = random.below(bytes.length)
  if (bytes.length > 0) bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8))
  return bytes
}

function setByte(bytes: Buffer, random: Random): Buffer {
  if (bytes.length > 0) bytes[random.below(bytes.length)] = random.below(256)
  return bytes
}

function setEdge(bytes: Buffer, random: Random): Buffer {
  const width = random.pick(WIDTHS)
  if (bytes.length < width) return bytes
  writeNumber(
    bytes,
    { at: placeOf(bytes.length - width, width, random), width, isBig: random.once(4) },
    random.pick(EDGES),
  )
  return bytes
}

function addToNumber(bytes: Buffer, random: Random): Buffer {
  const width = random.pick(WIDTHS)
  if (bytes.length < width) return bytes
  const place = { at: placeOf(bytes.length - width, width, random), width, isBig: random.once(4) }
  const step = BigInt(1 + random.below(random.once(2) ? 4 : 300))
  writeNumber(bytes, place, readNumber(bytes, place) + (random.once(2) ? step : -step))
  return bytes
}

function truncate(bytes: Buffer, random: Random): Buffer {
  const length = random.once(2)
    ? random.below(bytes.length + 1)
    : bytes.length - random.below(Math.min(16, bytes.length + 1))
  return bytes.subarray(0, length)
}

function insert(bytes: Buffer, random: Random): Buffer {
  const at = random.below(bytes.length + 1)
  return Buffer.concat([bytes.subarray(0, at), random.bytes(few(random, 64)), bytes.subarray(at)])
}

function remove(bytes: Buffer, random: Random): Buffer {
  const [at, length] = runOf(bytes, random)
  return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)])
}

function repeat(bytes: Buffer, random: Random): Buffer {
  const [at, length] = runOf(bytes, random)
  const run = bytes.subarray(at, at + length)
  const copies = Array.from({ length: few(random, 8) }, () => run)
  return Buffer.concat([bytes.subarray(0, at), ...copies, bytes.subarray(at)])
}

function copyWithin(bytes: Buffer, random: Random): Buffer {
  const stride = random.pick(STRIDES)
  const records = Math.floor(bytes.length / stride)
  if (records < 2) return bytes
  const [from, to] = [random.below(records) * stride, random.below(records) * stride]
  return bytes.copyWithin(to, from, from + stride * few(random, 4))
}

function swapRecords(bytes: Buffer, random: Random): Buffer {
  const stride = random.pick(STRIDES)
  const records = Math.floor(bytes.length / stride)
  if (records < 2) return bytes
  const [one, other] = [random.below(records) * stride, random.below(records) * stride]
  const kept = Buffer.from(bytes.subarray(one, one + stride))
  bytes.copyWithin(one, other, other + stride)
  bytes.set(kept, other)
  return bytes
}

function fill(bytes: Buffer, random: Random): Buffer {
  const [at, length] = runOf(bytes, random)
  return bytes.fill(random.pick([0, 0xff, 0x20, random.below(256)]), at, at + length)
}

function takeFromDonor(bytes: Buffer, random: Random, donor: Buffer): Buffer {
  if (bytes.length === 0 || donor.length === 0) return bytes
  const [from, length] = runOf(donor, random)
  const at = random.once(2) ? from : random.below(bytes.length)
  donor.copy(bytes, Math.min(at, bytes.length), from, from + length)
  return bytes
}

function splice(bytes: Buffer, random: Random, donor: Buffer): Buffer {
  const at = random.below(bytes.length + 1)
  return Buffer.concat([
    bytes.subarray(0, at),
    donor.subarray(random.once(2) ? at : random.below(donor.length + 1)),
  ])
}

function runOf(bytes: Buffer, random: Random): [at: number, length: number] {
  const length = Math.min(bytes.length, random.once(3) ? 1 + random.below(bytes.length + 1) : few(random, 64))
  return [random.below(bytes.length - length + 1), length]
}

/** Mostly aligned, and at the start as often as anywhere: that is where headers are. */
function placeOf(last: number, width: number, random: Random): number {
  const at = random.below((random.once(2) ? Math.min(last, 256) : last) + 1)
  return random.once(4) ? at : at - (at % width)
}

export interface NumberPlace {
  readonly at: number
  readonly width: 1 | 2 | 4 | 8
  readonly isBig: boolean
}

function readNumber(bytes: Buffer, { at, width, isBig }: NumberPlace): bigint {
  if (width === 8) return isBig ? bytes.readBigUInt64BE(at) : bytes.readBigUInt64LE(at)
  return BigInt(isBig ? bytes.readUIntBE(at, width) : bytes.readUIntLE(at, width))
}

function writeNumber(bytes: Buffer, { at, width, isBig }: NumberPlace, value: bigint): void {
  const kept = BigInt.asUintN(width * 8, value)
  if (width === 8) isBig ? bytes.writeBigUInt64BE(kept, at) : bytes.writeBigUInt64LE(kept, at)
  else isBig ? bytes.writeUIntBE(Number(kept), at, width) : bytes.writeUIntLE(Number(kept), at, width)
}
