import type { Encoding } from '../core/encoding.ts'

// The .xz file format 1.2.0: a stream header of 12 bytes, then a block header with its size, flags, lengths and filters.
const BLOCK_HEADER_AT = 12
const FILTER_COUNT_MASK = 0x03
const HAS_STORED_BYTES = 0x40
const HAS_CONTENT_BYTES = 0x80
/** Lengths take at most nine bytes each. */
export const XZ_HEAD_BYTES = BLOCK_HEADER_AT + 2 + 9 + 9 + 1

// Ids of the filters for machine code: x86 is 4, and the parameter of the encoding counts from 1.
const FIRST_FILTER = 4
const LAST_FILTER = 10

/**
 * An xz encoding with the filter that mksquashfs found best for one block: it tries each it was given (`-Xbcj`), and only
 * the block itself says which it took.
 */
export function withFilter(encoding: Encoding, head: Buffer): Encoding {
  const [preset = 0, dictBytes = 0, check = 0] = encoding.params
  return { codec: encoding.codec, params: [preset, dictBytes, check, filterOf(head)] }
}

function filterOf(head: Buffer): number {
  const flags = head.readUInt8(BLOCK_HEADER_AT + 1)
  if ((flags & FILTER_COUNT_MASK) === 0) return 0
  let at = BLOCK_HEADER_AT + 2
  for (const flag of [HAS_STORED_BYTES, HAS_CONTENT_BYTES]) {
    if ((flags & flag) === 0) continue
    // The top bit says that the length goes on.
    while (head.readUInt8(at) >= 0x80) at += 1
    at += 1
  }
  const id = head.readUInt8(at)
  return id >= FIRST_FILTER && id <= LAST_FILTER ? id - FIRST_FILTER + 1 : 0
}
