import { lastStart } from '../core/search.ts'
import type { Piece } from '../expand/image.ts'

/** A run of pieces. */
export function slicePieces(pieces: readonly Piece[], from: number, bytes: number): Piece[] {
  return indexPieces(pieces)(from, bytes)
}

/** `slicePieces` for many runs, in any order. */
export function indexPieces(pieces: readonly Piece[]): (from: number, bytes: number) => Piece[] {
  const starts: number[] = []
  let end = 0
  for (const piece of pieces) {
    starts.push(end)
    end += piece.bytes
  }
  return (from, bytes) => {
    const out: Piece[] = []
    const first = lastStart(starts.length, from, (index) => starts[index])
    for (let index = first, done = 0; done < bytes; index++) {
      const piece = pieces[index]
      if (piece === undefined) throw new RangeError('the file ends before its copy')
      const skip = from + done - (starts[index] ?? 0)
      const step = Math.min(piece.bytes - skip, bytes - done)
      out.push({ at: piece.at < 0 ? -1 : piece.at + skip, bytes: step })
      done += step
    }
    return out
  }
}
