/**
 * A polynomial hash of the last `blockBytes` bytes modulo 2^32, over byte values spread by a fixed table. Cheap to move by
 * one byte; never trusted: every hit is compared byte by byte.
 */
export interface RollingHash {
  readonly blockBytes: number
  /** Of the block that starts at `at`. */
  of(bytes: Uint8Array, at: number): number
  /** Of the block one byte later than the block at `at`, whose hash is `hash`. */
  slide(hash: number, bytes: Uint8Array, at: number): number
  /** Of a block of zeros. */
  readonly ofZeros: number
}

const FACTOR = 0x08104225

export function createRollingHash(blockBytes: number): RollingHash {
  const spread = spreadTable()
  const leaving = spread.map((value) => Math.imul(value, power(FACTOR, blockBytes)))

  function of(bytes: Uint8Array, at: number): number {
    let hash = 0
    for (let i = at; i < at + blockBytes; i++)
      hash = (Math.imul(hash, FACTOR) + (spread[bytes[i] ?? 0] ?? 0)) | 0
    return hash
  }

  function slide(hash: number, bytes: Uint8Array, at: number): number {
    const entering = spread[bytes[at + blockBytes] ?? 0] ?? 0
    return (Math.imul(hash, FACTOR) + entering - (leaving[bytes[at] ?? 0] ?? 0)) | 0
  }

  return { blockBytes, of, slide, ofZeros: of(new Uint8Array(blockBytes), 0) }
}

/** 256 fixed pseudo-random numbers: the same bundle comes out everywhere. */
function spreadTable(): Int32Array {
  let state = 0x9e3779b9
  return Int32Array.from({ length: 256 }, () => {
    // xorshift32, G. Marsaglia 2003
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return state
  })
}

function power(factor: number, exponent: number): number {
  let product = 1
  for (let i = 0; i < exponent; i++) product = Math.imul(product, factor)
  return product
}
