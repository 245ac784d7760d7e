import { PineError } from '../core/error.ts'
import type { OpenRegion } from '../core/region.ts'
import type { GptPiece } from '../model/gpt.ts'
import type { Flip } from './table-change.ts'

/** All of them, then a flush. */
export async function writePieces(disk: OpenRegion, pieces: readonly GptPiece[]): Promise<void> {
  for (const { offset, bytes } of pieces) await disk.write(bytes, offset)
  await disk.flush()
}

/** What is prepared, and once it is known to be there the one sector that makes it count. Throws `IO_FAILED`. */
export async function applyFlip(disk: OpenRegion, { prepare, flip }: Flip): Promise<void> {
  await writePieces(disk, prepare)
  await requireKept(disk, prepare)
  await writePieces(disk, [flip])
}

/** What is about to be relied on. */
async function requireKept(disk: OpenRegion, pieces: readonly GptPiece[]): Promise<void> {
  await disk.dropCache()
  for (const { offset, bytes } of pieces) {
    const found = Buffer.alloc(bytes.length)
    await disk.read(found, offset)
    if (!found.equals(bytes))
      throw new PineError('IO_FAILED', `${disk.name} does not keep what is written at ${offset}`, {
        hint: 'look at dmesg; what starts is what started before',
      })
  }
}
