import { inflateRawSync } from 'node:zlib'
import type { Encoding } from '../core/encoding.ts'
import { candidatesOf, type Decoder, type Format, type Found } from './payload.ts'

// RFC 1952 section 2.3: the fixed part of a member's header, and the flags for what follows it.
const HEAD_BYTES = 10
const TRAILER_BYTES = 8
const FLAG = { headerCrc: 2, extra: 4, name: 8, comment: 16, reserved: 0xe0 } as const

/** One member; what follows it may be another. */
export const gzip: Format = { magic: Buffer.from([0x1f, 0x8b, 8]), read: readMember }

function readMember(region: Buffer, { maxContent }: Decoder): Found | undefined {
  const at = headerBytes(region)
  if (at === undefined) return undefined
  const { content, stored } = inflate(region.subarray(at), maxContent)
  const end = at + stored + TRAILER_BYTES
  if (end > region.length || region.readUInt32LE(end - 4) !== content.length) return undefined
  const candidates = likelyEncodings(region[8])
  return { payloads: [{ at, stored, content, candidates, headBytes: () => 0 }], end }
}

function headerBytes(region: Buffer): number | undefined {
  const flags = region[3] ?? FLAG.reserved
  if (flags & FLAG.reserved) return undefined
  let at = HEAD_BYTES
  if (flags & FLAG.extra) at += 2 + region.readUInt16LE(at)
  for (const text of [FLAG.name, FLAG.comment]) {
    if (!(flags & text)) continue
    const end = region.indexOf(0, at)
    if (end < 0) return undefined
    at = end + 1
  }
  return flags & FLAG.headerCrc ? at + 2 : at
}

/** DEFLATE says itself where it ends. Throws for more content than `maxContent`. */
function inflate(deflated: Buffer, maxContent: number): { content: Buffer; stored: number } {
  // With `info` the result is not the buffer that the type promises.
  const result: unknown = inflateRawSync(deflated, { info: true, maxOutputLength: maxContent })
  const { buffer, engine } = result as { buffer: Buffer; engine: { bytesWritten: number } }
  return { content: buffer, stored: engine.bytesWritten }
}

/** GNU gzip first, then zlib as other programs call it. The extra flags tell the best and the fastest level from others. */
function likelyEncodings(extraFlags: number | undefined): Encoding[] {
  const levels = extraFlags === 2 ? [9] : extraFlags === 4 ? [1] : [6, 9, 5, 7]
  const zlib = levels.slice(0, 2).flatMap((level) => [
    [level, 15, 8, 0],
    [level, 15, 9, 0],
  ])
  return [
    ...candidatesOf(
      'gzip',
      levels.map((level) => [level]),
    ),
    ...candidatesOf('deflate', zlib),
  ]
}
