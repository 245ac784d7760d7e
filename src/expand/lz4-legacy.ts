import type { Decoder, Format, Found, Payload } from './payload.ts'
import { candidatesOf } from './payload.ts'

// LZ4 frame format, "Legacy frame": a magic number, then blocks, each after its stored length in four bytes. All blocks
// but the last hold 8 MiB; what follows the last is not marked.
const CONTENT_BYTES = 8 * 1024 * 1024
const MAX_STORED = CONTENT_BYTES + Math.floor(CONTENT_BYTES / 255) + 16
const SIZE_BYTES = 4
const MAGIC = Buffer.from([0x02, 0x21, 0x4c, 0x18])

// Linux and initramfs-tools ask for level 9; below 3 the program takes the fast coder.
const CANDIDATES = [
  ...candidatesOf('lz4hc', [[9], [12]]),
  ...candidatesOf('lz4', [[]]),
  ...candidatesOf('lz4hc', [[3], [4], [5], [6], [7]]),
]

/** Every block is a payload of its own. */
export const lz4Legacy: Format = { magic: MAGIC, read: readBlocks }

function readBlocks(region: Buffer, decoder: Decoder): Found | undefined {
  const payloads: Payload[] = []
  let at = MAGIC.length
  while (at + SIZE_BYTES <= region.length) {
    const stored = region.readUInt32LE(at)
    if (stored === 0 || stored > Math.min(MAX_STORED, region.length - at - SIZE_BYTES)) break
    const block = readBlock(region, at + SIZE_BYTES, { stored, decoder })
    payloads.push(block)
    at += SIZE_BYTES + stored
    if (block.content.length < CONTENT_BYTES) break
  }
  return { payloads, end: at }
}

function readBlock(region: Buffer, at: number, block: { stored: number; decoder: Decoder }): Payload {
  const { stored, decoder } = block
  const into = Buffer.allocUnsafeSlow(CONTENT_BYTES)
  const bytes = decoder.codecs.decodeUpTo('lz4', region.subarray(at, at + stored), into)
  return { at, stored, content: into.subarray(0, bytes), candidates: CANDIDATES, headBytes: () => 0 }
}
