import { PineError } from '../core/error.ts'
import type { OpenRegion } from '../core/region.ts'
import type { Extent } from '../host/extents.ts'
import type { Run } from './place.ts'

/** A piece of a file, in bytes of it. */
export interface FilePiece {
  logical: number
  bytes: number
}

/** Where in a file that part of the disk is, in the order of the disk; less than all of it where the file has less. */
export function piecesOf(
  extents: readonly Extent[],
  { offset, bytes }: Run,
  partitionOffset: number,
): FilePiece[] {
  const [from, to] = [offset - partitionOffset, offset - partitionOffset + bytes]
  return [...extents]
    .sort((one, other) => one.physical - other.physical)
    .flatMap(({ logical, physical, bytes: length }) => {
      const [start, end] = [Math.max(from, physical), Math.min(to, physical + length)]
      return start < end ? [{ logical: logical + start - physical, bytes: end - start }] : []
    })
}

export function totalOf(pieces: readonly { bytes: number }[]): number {
  return pieces.reduce((total, { bytes }) => total + bytes, 0)
}

/** What of a file of that length is in none of the pieces. */
export function gapsBetween(pieces: readonly FilePiece[], fileBytes: number): FilePiece[] {
  const gaps: FilePiece[] = []
  let logical = 0
  const end = { logical: fileBytes, bytes: 0 }
  for (const piece of [...pieces].sort((one, other) => one.logical - other.logical).concat(end)) {
    if (piece.logical > logical) gaps.push({ logical, bytes: piece.logical - logical })
    logical = piece.logical + piece.bytes
  }
  return gaps
}

/** Those pieces, one after another, through the file: a region that is closed with it. */
export function inPieces(file: OpenRegion, pieces: readonly FilePiece[]): OpenRegion {
  const total = totalOf(pieces)
  async function transfer(
    { length }: Uint8Array,
    position: number,
    move: (from: number, to: number, logical: number) => Promise<void>,
  ): Promise<void> {
    if (position + length > total)
      throw new PineError('IO_FAILED', `${file.name} has ${total} bytes there, not ${position + length}`)
    let start = 0
    for (const { logical, bytes } of pieces) {
      const [from, to] = [Math.max(position, start), Math.min(position + length, start + bytes)]
      if (from < to) await move(from - position, to - position, logical + from - start)
      start += bytes
    }
  }
  return {
    ...file,
    bytes: total,
    read: (into, position) =>
      transfer(into, position, (from, to, logical) => file.read(into.subarray(from, to), logical)),
    write: (content, position) =>
      transfer(content, position, (from, to, logical) => file.write(content.subarray(from, to), logical)),
  }
}
