import { lastStart } from '../core/search.ts'
import type { ExpandedImage, ImageFile, Piece, Unit } from './image.ts'
import { broken } from './reader.ts'

/** Bytes as a file system names them: after `skip` bytes of the content of what is stored at `offset`; `HOLE`: zeros. */
export interface Place {
  readonly offset: number
  readonly skip: number
  readonly bytes: number
}

export const HOLE = -1

/** Bytes that are stored as they are. */
export function rawPlace(offset: number, bytes: number): Place {
  return { offset, skip: 0, bytes }
}

/** What parsers report, in any order, until `finish` puts it in the order of the image. */
export interface Layout {
  /** A run with an encoding; of several reports of one run the longest content holds. */
  encoded(unit: Required<Unit>): void
  file(path: string, places: readonly Place[]): void
  /** A table of the file system, as a file `#name`; none when it is empty. */
  table(name: string, places: readonly Place[]): void
  finish(fs: ExpandedImage['fs']): ExpandedImage
}

export function createLayout(imageBytes: number): Layout {
  const runs = new Map<number, Required<Unit>>()
  const files: { path: string; places: readonly Place[] }[] = []
  return {
    encoded(unit) {
      const known = runs.get(unit.offset)
      if (known !== undefined && known.stored !== unit.stored) throw broken(`two runs at ${unit.offset}`)
      if (known === undefined || known.content < unit.content) runs.set(unit.offset, unit)
    },
    file(path, places) {
      files.push({ path, places })
    },
    table(name, places) {
      if (places.length > 0) files.push({ path: `#${name}`, places })
    },
    finish(fs) {
      const units = partition([...runs.values()], imageBytes)
      const contentOf = contentPositions(units)
      return { fs, units, files: files.map(({ path, places }) => resolveFile(path, places, contentOf)) }
    },
  }
}

/** The runs in order, and raw units between them. Throws `RangeError` where two overlap or one leaves the image. */
function partition(runs: Required<Unit>[], imageBytes: number): Unit[] {
  const units: Unit[] = []
  let end = 0
  const fillTo = (offset: number): void => {
    if (offset < end) throw broken(`two runs at ${offset}`)
    if (offset > end) units.push({ offset: end, stored: offset - end, content: offset - end })
  }
  for (const run of runs.sort((a, b) => a.offset - b.offset)) {
    fillTo(run.offset)
    units.push(run)
    end = run.offset + run.stored
  }
  fillTo(imageBytes)
  return units
}

type ContentOf = (place: Place) => number

/** Finds where a place is in the contents of all units one after another. */
function contentPositions(units: readonly Unit[]): ContentOf {
  const starts: number[] = []
  let content = 0
  for (const unit of units) {
    starts.push(content)
    content += unit.content
  }
  return ({ offset, skip, bytes }) => {
    const index = lastStart(units.length, offset, (unit) => units[unit]?.offset)
    const unit = units[index]
    const start = starts[index]
    if (unit === undefined || start === undefined) throw broken(`there is nothing at ${offset}`)
    const within = offset - unit.offset + skip
    if (
      (unit.encoding !== undefined && offset !== unit.offset) ||
      within < 0 ||
      within + bytes > unit.content
    ) {
      throw broken(`${bytes} bytes at ${offset} are not in one run`)
    }
    return start + within
  }
}

function resolveFile(path: string, places: readonly Place[], contentOf: ContentOf): ImageFile {
  const pieces: Piece[] = []
  let bytes = 0
  for (const place of places) {
    if (place.bytes === 0) continue
    bytes += place.bytes
    append(pieces, place.offset === HOLE ? HOLE : contentOf(place), place.bytes)
  }
  return { path, bytes, pieces }
}

/** Joins what goes on where the last piece ended. */
function append(pieces: Piece[], at: number, bytes: number): void {
  const last = pieces.at(-1)
  const goesOn = last !== undefined && at === (last.at === HOLE ? HOLE : last.at + last.bytes)
  if (goesOn) pieces[pieces.length - 1] = { at: last.at, bytes: last.bytes + bytes }
  else pieces.push({ at, bytes })
}
