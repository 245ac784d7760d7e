import type { Region } from '../core/region.ts'

const PAGE_BYTES = 64 * 1024
const CACHED_PAGES = 512

/** Random reads of an image. What is returned must not be changed. */
export interface ImageReader {
  readonly bytes: number
  /** Throws `RangeError` outside the image. */
  at(position: number, length: number): Promise<Buffer>
}

/** Reads through pages of 64 KiB, 32 MiB of them cached: tables are walked a few bytes at a time. */
export function imageReader(image: Region): ImageReader {
  const pages = new Map<number, Buffer>()

  async function readDirectly(position: number, length: number): Promise<Buffer> {
    const into = Buffer.allocUnsafeSlow(length)
    await image.read(into, position)
    return into
  }

  async function pageAt(start: number): Promise<Buffer> {
    const page = pages.get(start) ?? (await readDirectly(start, Math.min(PAGE_BYTES, image.bytes - start)))
    pages.delete(start)
    pages.set(start, page)
    if (pages.size > CACHED_PAGES) pages.delete(pages.keys().next().value ?? start)
    return page
  }

  return {
    bytes: image.bytes,
    async at(position, length) {
      if (!(position >= 0 && length >= 0 && position + length <= image.bytes)) {
        throw broken(`bytes ${position}+${length} are outside it`)
      }
      const offset = position % PAGE_BYTES
      if (offset + length > PAGE_BYTES) return readDirectly(position, length)
      return (await pageAt(position - offset)).subarray(offset, offset + length)
    },
  }
}

/** A 64-bit number that fits in a double. Throws `RangeError` for a larger one. */
export function readUInt64(bytes: Buffer, offset: number): number {
  const value = Number(bytes.readBigUInt64LE(offset))
  if (!Number.isSafeInteger(value)) throw broken(`${value} is no position in it`)
  return value
}

/**
 * A file system whose tables contradict themselves. `RangeError`, because reading past the end of a table throws that by
 * itself; `expandImage` takes such an image as bytes without structure.
 */
export function broken(what: string): RangeError {
  return new RangeError(`the file system is broken: ${what}`)
}
