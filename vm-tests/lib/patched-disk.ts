import { closeSync, openSync, readSync, writeSync } from 'node:fs'
import type { Piece } from './lossy-disk.ts'

/** A disk image to which one can write and take that back. */
export interface PatchedDisk {
  /** Returns what takes them back. */
  put(pieces: readonly Piece[]): () => void
  close(): void
}

export function openPatched(path: string): PatchedDisk {
  const file = openSync(path, 'r+')

  function putOne({ offset, content }: Piece): void {
    const put = writeSync(file, content, 0, content.length, offset)
    if (put !== content.length) throw new Error(`${path} took ${put} of ${content.length} bytes`)
  }

  function readOne({ offset, content }: Piece): Piece {
    const before = Buffer.allocUnsafe(content.length)
    const got = readSync(file, before, 0, before.length, offset)
    if (got !== before.length) throw new Error(`${path} ended at ${offset + got}`)
    return { offset, content: before }
  }

  return {
    put(pieces) {
      // All are read before the first is written: where two overlap, both find what was there before them.
      const before = pieces.map(readOne)
      pieces.forEach(putOne)
      return () => before.forEach(putOne)
    },
    close: () => closeSync(file),
  }
}
