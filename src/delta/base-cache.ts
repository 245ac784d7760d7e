import type { Region } from '../core/region.ts'

export const PAGE_BYTES = 64 * 1024

/** Reads of a base that are often small and near each other. */
export interface BaseCache {
  readonly bytes: number
  /** A view of the base from `offset` to the end of a cached page or of the base; at least one byte. Valid until the next call. */
  view(offset: number): Uint8Array | Promise<Uint8Array>
  /** Fills `into`; large runs go around the cache. */
  read(into: Uint8Array, offset: number): Promise<void>
}

/** Keeps the last `pages` pages of 64 KiB in one block of memory. Only the first `bytes` of the region count. */
export function cacheBase(region: Region, bytes: number, pages: number): BaseCache {
  const memory = Buffer.allocUnsafeSlow(pages * PAGE_BYTES)
  /** Page number to its place in `memory`, the least recently used first. */
  const places = new Map<number, number>()

  function cut(page: number, place: number, offset: number): Uint8Array {
    const length = Math.min(PAGE_BYTES, bytes - page * PAGE_BYTES)
    return memory.subarray(place * PAGE_BYTES + (offset - page * PAGE_BYTES), place * PAGE_BYTES + length)
  }

  async function load(page: number, offset: number): Promise<Uint8Array> {
    const place = freePlace()
    await region.read(cut(page, place, page * PAGE_BYTES), page * PAGE_BYTES)
    places.set(page, place)
    return cut(page, place, offset)
  }

  function freePlace(): number {
    if (places.size < pages) return places.size
    for (const [page, place] of places) {
      places.delete(page)
      return place
    }
    throw new Error('a cache without pages')
  }

  function view(offset: number): Uint8Array | Promise<Uint8Array> {
    if (offset < 0 || offset >= bytes)
      throw new RangeError(`${region.name}: ${offset} is outside its ${bytes} bytes`)
    const page = Math.floor(offset / PAGE_BYTES)
    const place = places.get(page)
    if (place === undefined) return load(page, offset)
    places.delete(page)
    places.set(page, place)
    return cut(page, place, offset)
  }

  async function read(into: Uint8Array, offset: number): Promise<void> {
    if (into.length >= PAGE_BYTES) return await region.read(into, offset)
    for (let done = 0; done < into.length; ) {
      const found = view(offset + done)
      const piece = (found instanceof Promise ? await found : found).subarray(0, into.length - done)
      into.set(piece, done)
      done += piece.length
    }
  }

  return { bytes, view, read }
}
