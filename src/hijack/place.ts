import type { Extent } from '../host/extents.ts'
import type { Role } from '../model/layout.ts'
import type { Wanted } from './wanted.ts'

/** What lies in one piece on the disk. In bytes of it. */
export interface Run {
  offset: number
  bytes: number
}

/** Where a partition goes. */
export interface Placed extends Run {
  name: Role
}

/** Of partitions, on the disk. */
export const ALIGNMENT = 1024 ** 2

/** What follows each other on the disk is one run, whatever its order in the file: ext4 fills groups as it finds them. */
export function runsOf(extents: readonly Extent[], partitionOffset: number): Run[] {
  const runs: Run[] = []
  for (const { physical, bytes } of [...extents].sort((one, other) => one.physical - other.physical)) {
    const last = runs.at(-1)
    const offset = partitionOffset + physical
    if (last !== undefined && last.offset + last.bytes === offset) last.bytes += bytes
    else runs.push({ offset, bytes })
  }
  return runs
}

/** The most that could be placed in one of them. */
export function largestPlace(runs: readonly Run[]): number {
  return Math.max(0, ...runs.map(piecesOf).map(({ from, to }) => to - from))
}

/**
 * A place for each, aligned, none over another, each within one run; in the order of `wanted`. Undefined where none was
 * found. Of what was found it is that in which the one that `grows` has the most room, up to the next partition or `limit`,
 * where the old one ends. What does not grow goes first, the largest first.
 */
export function place(runs: readonly Run[], wanted: readonly Wanted[], limit: number): Placed[] | undefined {
  const ways = WAYS.flatMap((way) => arrange(runs, wanted, way, limit) ?? [])
  const [best] = ways.sort((one, other) => other.growth - one.growth)
  return best && wanted.flatMap(({ name }) => best.placed.filter((placed) => placed.name === name))
}

/** What is free of a run, from where a partition can start. */
interface Piece {
  from: number
  to: number
}

/** Which piece of those that fit, the lowest rank first, and which end of it. */
interface Way {
  rank(piece: Piece): number
  end: 'low' | 'high'
}

// The best fit comes first, but may leave little room for what grows, or none.
const WAYS: readonly Way[] = [
  { rank: ({ from, to }) => to - from, end: 'low' },
  { rank: ({ from }) => from, end: 'low' },
  { rank: ({ to }) => -to, end: 'high' },
]

interface Arrangement {
  placed: Placed[]
  /** What the one that grows can have at most. */
  growth: number
}

function arrange(
  runs: readonly Run[],
  wanted: readonly Wanted[],
  way: Way,
  limit: number,
): Arrangement | undefined {
  const free = runs.map(piecesOf)
  const placed: Placed[] = []
  const growing = wanted.find(({ grows }) => grows)
  const first = wanted.filter((each) => each !== growing)
  for (const each of first.sort((one, other) => other.bytes - one.bytes)) {
    const piece = lowest(fitting(free, each.bytes), way.rank)
    if (piece === undefined) return undefined
    placed.push(take(piece, each, way.end))
  }
  if (growing === undefined) return { placed, growth: 0 }
  const room = ({ from }: Piece) => roomFrom(from, placed, limit)
  const piece = lowest(fitting(free, growing.bytes), (each) => -room(each))
  if (piece === undefined) return undefined
  const growth = room(piece)
  return { placed: [...placed, take(piece, growing, 'low')], growth }
}

function piecesOf({ offset, bytes }: Run): Piece {
  return { from: roundUp(offset), to: offset + bytes }
}

function fitting(free: readonly Piece[], bytes: number): Piece[] {
  return free.filter(({ from, to }) => from + bytes <= to)
}

/** The first of those with the lowest rank. */
function lowest(pieces: readonly Piece[], rank: Way['rank']): Piece | undefined {
  const [first] = [...pieces].sort((one, other) => rank(one) - rank(other) || one.from - other.from)
  return first
}

/** Makes the piece smaller. */
function take(piece: Piece, { name, bytes }: Wanted, end: Way['end']): Placed {
  const offset = end === 'low' ? piece.from : roundDown(piece.to - bytes)
  if (end === 'low') piece.from = roundUp(offset + bytes)
  else piece.to = offset
  return { name, offset, bytes }
}

/** Up to the next partition. */
function roomFrom(from: number, placed: readonly Placed[], limit: number): number {
  return Math.min(limit, ...placed.map(({ offset }) => offset).filter((offset) => offset > from)) - from
}

/** To where a partition can start, or how long one can be. */
export function roundUp(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT
}

function roundDown(offset: number): number {
  return Math.floor(offset / ALIGNMENT) * ALIGNMENT
}
