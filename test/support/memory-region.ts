import type { OpenRegion, Region } from '../../src/core/region.ts'

/** A region in memory that counts what is done to it. */
export interface MemoryRegion extends Region {
  readonly content: Buffer
  readonly counts: { reads: number; writes: number; writtenBytes: number; flushes: number }
}

/** A region over `content` itself: writes change it. */
export function memoryRegion(content: Buffer, name = 'memory'): MemoryRegion {
  const counts = { reads: 0, writes: 0, writtenBytes: 0, flushes: 0 }
  function check(length: number, position: number): void {
    if (position < 0 || position + length > content.length) {
      throw new RangeError(`${name}: bytes ${position}+${length} are outside its ${content.length} bytes`)
    }
  }
  return {
    name,
    bytes: content.length,
    content,
    counts,
    async read(into, position) {
      check(into.length, position)
      counts.reads += 1
      into.set(content.subarray(position, position + into.length))
    },
    async write(from, position) {
      check(from.length, position)
      counts.writes += 1
      counts.writtenBytes += from.length
      content.set(from, position)
    },
    async flush() {
      counts.flushes += 1
    },
    async dropCache() {},
  }
}

/** The same, as one that is opened and closed; nobody else has its lock. */
export function openMemoryRegion(content: Buffer): OpenRegion {
  const lock = { tryLock: () => true, lockId: async () => undefined }
  return { ...memoryRegion(content), ...lock, close: async () => undefined }
}
