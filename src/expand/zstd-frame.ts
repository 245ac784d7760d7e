import type { Encoding } from '../core/encoding.ts'
import { candidatesOf, type Decoder, type Format, type Found } from './payload.ts'

/** What comes before the blocks of a frame, RFC 8878 section 3.1.1.1. */
interface FrameHeader {
  readonly bytes: number
  readonly hasChecksum: boolean
  /** log2 of the window where the frame has one; without, the window is the content. */
  readonly windowLog: number | undefined
  readonly contentBytes: number | undefined
}

const MAGIC = Buffer.from([0x28, 0xb5, 0x2f, 0xfd])
const BLOCK_BYTES = 128 * 1024
const BLOCK_HEADER_BYTES = 3
const RLE_BLOCK = 1
const RESERVED_BLOCK = 3
const CHECKSUM_FLAG = 1
const NO_SIZE_FLAG = 2
// The windows of the levels for content whose length is unknown or large.
const LEVELS_BY_WINDOW: Readonly<Record<number, readonly number[]>> = {
  19: [1],
  20: [2],
  21: [3, 6, 5, 7, 8, 4],
  22: [9, 15, 12, 10, 16, 11, 13, 14],
  23: [19, 18, 17],
  25: [20],
  26: [21],
  27: [22],
}
const LIKELY_LEVELS = [3, 19, 9, 15, 1, 6, 12, 22]
// Up to here libzstd does not make several jobs of content whose length it knows.
const ONE_JOB_BYTES = 512 * 1024

/** One frame; what follows it may be another. */
export const zstdFrame: Format = { magic: MAGIC, read: readFrame }

function readFrame(region: Buffer, { codecs, maxContent }: Decoder): Found | undefined {
  const header = frameHeader(region)
  const { blocks, bytes } = walkBlocks(region, header.bytes)
  const end = bytes + (header.hasChecksum ? 4 : 0)
  const most = Math.min(header.contentBytes ?? blocks * BLOCK_BYTES, maxContent)
  if (end > region.length) return undefined
  if ((header.contentBytes ?? 0) > most) return { payloads: [], end }
  const into = Buffer.allocUnsafeSlow(most)
  const content = into.subarray(0, codecs.decodeUpTo('zstd', region.subarray(0, end), into))
  const candidates = likelyEncodings(header, content.length)
  const headBytes = (stored: Buffer) => frameHeader(stored).bytes
  return { payloads: [{ at: 0, stored: end, content, candidates, headBytes }], end }
}

function frameHeader(region: Buffer): FrameHeader {
  const descriptor = region.readUInt8(4)
  const isOneSegment = (descriptor & 0x20) !== 0
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] ?? 0
  const sizeAt = MAGIC.length + 1 + (isOneSegment ? 0 : 1) + dictionaryBytes
  const sizeBytes = [isOneSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0
  return {
    bytes: sizeAt + sizeBytes,
    hasChecksum: (descriptor & 4) !== 0,
    windowLog: isOneSegment ? undefined : 10 + (region.readUInt8(MAGIC.length + 1) >> 3),
    contentBytes: contentBytes(region, sizeAt, sizeBytes),
  }
}

function contentBytes(region: Buffer, at: number, bytes: number): number | undefined {
  if (bytes === 0) return undefined
  if (bytes === 8) return Number(region.readBigUInt64LE(at))
  // Two bytes begin where one byte ends.
  return region.readUIntLE(at, bytes) + (bytes === 2 ? 256 : 0)
}

/** RFC 8878 section 3.1.1.2. Throws where the region ends before the last block. */
function walkBlocks(region: Buffer, start: number): { blocks: number; bytes: number } {
  let bytes = start
  for (let blocks = 1; ; blocks++) {
    const head = region.readUIntLE(bytes, BLOCK_HEADER_BYTES)
    const type = (head >> 1) & 3
    if (type === RESERVED_BLOCK) throw new RangeError(`zstd block ${blocks} is of no known type`)
    bytes += BLOCK_HEADER_BYTES + (type === RLE_BLOCK ? 1 : head >> 3)
    if (head & 1) return { blocks, bytes }
  }
}

/** The program `zstd` always works in jobs; the library only where it is told to. */
function likelyEncodings(header: FrameHeader, bytes: number): Encoding[] {
  const hasSize = header.contentBytes !== undefined
  const flags = (header.hasChecksum ? CHECKSUM_FLAG : 0) + (hasSize ? 0 : NO_SIZE_FLAG)
  const byWindow = header.windowLog === undefined ? undefined : LEVELS_BY_WINDOW[header.windowLog]
  const params = (byWindow ?? LIKELY_LEVELS).map((level) => [level, flags])
  const one = candidatesOf('zstd', params)
  if (hasSize && bytes <= ONE_JOB_BYTES) return one
  const jobs = candidatesOf('zstd-mt', params)
  return jobs.flatMap((encoding, index) => [encoding, ...one.slice(index, index + 1)])
}
