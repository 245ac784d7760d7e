import type { Region } from '../../src/core/region.ts'

/** A region in memory that can lose power: writes that were not flushed are then gone, or there up to a byte. */
export interface PowerRegion extends Region {
  /** What a reader sees now. */
  readonly content: Buffer
  /** Writes in order, each with what the content was before. */
  readonly writes: { before: Buffer; from: Buffer; position: number }[]
  flushes: number
  /** Called before each write; may throw. */
  onWrite: (index: number) => void
}

export function powerRegion(content: Buffer): PowerRegion {
  const check = (length: number, position: number) => {
    if (position < 0 || position + length > content.length)
      throw new RangeError(`outside: ${position}+${length}`)
  }
  const region: PowerRegion = {
    name: 'memory',
    bytes: content.length,
    content,
    writes: [],
    flushes: 0,
    onWrite: () => {},
    read: async (into, position) => {
      check(into.length, position)
      into.set(content.subarray(position, position + into.length))
    },
    write: async (from, position) => {
      check(from.length, position)
      region.onWrite(region.writes.length)
      region.writes.push({ before: Buffer.from(content), from: Buffer.from(from), position })
      content.set(from, position)
    },
    flush: async () => void region.flushes++,
    dropCache: async () => {},
  }
  return region
}
