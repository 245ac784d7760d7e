import type { Encoding } from '../core/encoding.ts'
import { candidatesOf, type Decoder, type Format, type Found } from './payload.ts'

/** The only block of a stream; The .xz File Format, section 3. */
interface XzBlock {
  readonly headerBytes: number
  readonly hasSizes: boolean
  readonly filter: number
  readonly dictionaryBytes: number
}

const MAGIC = Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0])
const HEADER_BYTES = 12
const FOOTER_BYTES = 12
const FOOTER_MAGIC = 'YZ'
const CHECK_BYTES = [0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64]
const LZMA2 = 0x21
// Filters for code have the numbers from x86 to arm64; an encoding counts them from 1.
const BRANCH_FILTERS = { first: 4, last: 10 } as const
const EXTREME = 64
const STREAMED = 1 << 8
// With a dictionary of its own size, 6 is what 7, 8 and 9 are.
const PRESETS = [6, 6 | EXTREME, 5, 4, 3, 2, 1, 0]

/** A stream of one block, as one thread writes it. */
export const xz: Format = { magic: MAGIC, read: readStream }

function readStream(region: Buffer, { codecs, maxContent }: Decoder): Found | undefined {
  const check = region.readUInt8(7)
  const block = blockHeader(region, HEADER_BYTES)
  if (block === undefined || check >= CHECK_BYTES.length) return undefined
  const data = walkChunks(region, HEADER_BYTES + block.headerBytes)
  const index = padded(data.end) + (CHECK_BYTES[check] ?? 0)
  const end = streamEnd(region, index)
  if (end === undefined) return undefined
  if (data.content > maxContent) return { payloads: [], end }
  const content = Buffer.allocUnsafeSlow(data.content)
  codecs.decode('xz', region.subarray(0, end), content)
  const candidates = likelyEncodings(block, check)
  return { payloads: [{ at: 0, stored: end, content, candidates, headBytes }], end }
}

function headBytes(stored: Buffer): number {
  return HEADER_BYTES + (blockHeader(stored, HEADER_BYTES)?.headerBytes ?? 0)
}

/** Section 3.1. Nothing for filters other than LZMA2, alone or behind one for code. */
function blockHeader(region: Buffer, start: number): XzBlock | undefined {
  const headerBytes = (region.readUInt8(start) + 1) * 4
  const flags = region.readUInt8(start + 1)
  const fields = numbers(region, start + 2)
  if (flags & 0x40) fields.next()
  if (flags & 0x80) fields.next()
  const filters: number[] = []
  for (let count = (flags & 3) + 1; count > 1; count--) {
    filters.push(fields.next())
    if (fields.next() !== 0) return undefined
  }
  const hasLzma2 = fields.next() === LZMA2 && fields.next() === 1
  const filter = filters.length === 0 ? 0 : branchFilter(filters)
  if (!hasLzma2 || filter === undefined || fields.at() >= start + headerBytes) return undefined
  return {
    headerBytes,
    hasSizes: (flags & 0xc0) !== 0,
    filter,
    dictionaryBytes: dictionaryBytes(region.readUInt8(fields.at())),
  }
}

function branchFilter(filters: readonly number[]): number | undefined {
  const id = filters[0] ?? 0
  const isKnown = filters.length === 1 && id >= BRANCH_FILTERS.first && id <= BRANCH_FILTERS.last
  return isKnown ? id - BRANCH_FILTERS.first + 1 : undefined
}

/** Section 1.2: seven bits a byte, the lowest first. */
function numbers(region: Buffer, start: number): { next(): number; at(): number } {
  let at = start
  return {
    next() {
      let value = 0
      for (let scale = 1; ; scale *= 128) {
        const byte = region.readUInt8(at++)
        value += (byte & 127) * scale
        if (byte < 128) return value
      }
    },
    at: () => at,
  }
}

/** Section 5.3.1: one bit of mantissa. */
function dictionaryBytes(bits: number): number {
  return (2 + (bits & 1)) * 2 ** ((bits >> 1) + 11)
}

/** LZMA2 tells in front of each chunk how long it is; nothing has to be decoded. Throws where the region ends before. */
function walkChunks(region: Buffer, start: number): { end: number; content: number } {
  let at = start
  let content = 0
  for (;;) {
    const control = region.readUInt8(at)
    if (control === 0) return { end: at + 1, content }
    const low = region.readUInt16BE(at + 1) + 1
    if (control < 0x80) {
      content += low
      at += 3 + low
    } else {
      content += low + ((control & 31) << 16)
      at += 5 + (control >= 0xc0 ? 1 : 0) + region.readUInt16BE(at + 3) + 1
    }
  }
}

/** Sections 4 and 2.1.2: after the index of one block comes the footer, which repeats the index's length. */
function streamEnd(region: Buffer, index: number): number | undefined {
  if (region.readUInt8(index) !== 0) return undefined
  const fields = numbers(region, index + 1)
  if (fields.next() !== 1) return undefined
  fields.next()
  fields.next()
  const footer = padded(fields.at()) + 4
  const end = footer + FOOTER_BYTES
  if (end > region.length || region.toString('latin1', end - 2, end) !== FOOTER_MAGIC) return undefined
  return (region.readUInt32LE(footer + 4) + 1) * 4 === footer - index ? end : undefined
}

/** Everything is a multiple of four bytes, and the stream header is one. */
function padded(bytes: number): number {
  return Math.ceil(bytes / 4) * 4
}

/** Only an encoder that has all of the content at once can write its length in front of it. */
function likelyEncodings(block: XzBlock, check: number): Encoding[] {
  const coder = block.hasSizes ? 0 : STREAMED
  return candidatesOf(
    'xz',
    PRESETS.map((preset) => [preset | coder, block.dictionaryBytes, check, block.filter]),
  )
}
