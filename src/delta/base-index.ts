import { type Region, readParts } from '../core/region.ts'
import type { RollingHash } from './rolling.ts'

/**
 * Where the blocks of a base are, by rolling hash. With 2 KiB blocks it takes 8 to 16 MiB of memory a GiB of base, and
 * 2 MiB for the filter.
 */
export interface BaseIndex {
  /** False for nearly every hash that is not in the base. */
  mayHave(hash: number): boolean
  /** Offset of the first block with that hash, or -1. */
  find(hash: number): number
}

const FILTER_BITS = 24

/** Reads the whole base once. Blocks of zeros are left out: they need no base. */
export async function indexBase(base: Region, hash: RollingHash): Promise<BaseIndex> {
  const table = createTable(Math.floor(base.bytes / hash.blockBytes))
  for await (const { part, position } of readParts(base, base.bytes)) {
    for (let at = 0; at + hash.blockBytes <= part.length; at += hash.blockBytes) {
      const value = hash.of(part, at)
      if (value !== hash.ofZeros) table.add(value, (position + at) / hash.blockBytes)
    }
  }
  return {
    mayHave: table.mayHave,
    find: (value) => {
      const block = table.find(value)
      return block < 0 ? -1 : block * hash.blockBytes
    },
  }
}

/** Open addressing in two typed arrays. `find` gives a block number, or -1. */
function createTable(blocks: number) {
  const slots = 2 ** Math.max(4, Math.ceil(Math.log2(Math.max(1, blocks) * 2)))
  const hashes = new Int32Array(slots)
  /** Block number + 1; 0 where the slot is free. */
  const numbers = new Uint32Array(slots)
  const filter = new Int32Array(2 ** FILTER_BITS / 32)

  function slotOf(value: number): number {
    let slot = (Math.imul(value, 0x9e3779b1) >>> 0) % slots
    while (numbers[slot] !== 0 && hashes[slot] !== value) slot = (slot + 1) % slots
    return slot
  }

  return {
    add(value: number, block: number): void {
      const slot = slotOf(value)
      if (numbers[slot] !== 0) return
      hashes[slot] = value
      numbers[slot] = block + 1
      const bit = value >>> (32 - FILTER_BITS)
      filter[bit >>> 5] = (filter[bit >>> 5] ?? 0) | (1 << (bit & 31))
    },
    mayHave(value: number): boolean {
      const bit = value >>> (32 - FILTER_BITS)
      return ((filter[bit >>> 5] ?? 0) & (1 << (bit & 31))) !== 0
    },
    find: (value: number): number => (numbers[slotOf(value)] ?? 0) - 1,
  }
}
