import { dirname } from 'node:path'
import { PineError } from '../core/error.ts'
import { formatBytes } from '../core/format.ts'
import type { Carving, Extent } from '../host/extents.ts'
import { type FilePiece, gapsBetween, piecesOf, totalOf } from './file-pieces.ts'
import { ALIGNMENT, largestPlace, type Placed, place, type Run, runsOf } from './place.ts'
import type { Wanted } from './wanted.ts'

export interface CarveRequest {
  /** A new file in the root file system. */
  file: string
  /** Where the partition of that file system starts on its disk, and where it ends. In bytes. */
  partitionOffset: number
  limit: number
  wanted: readonly Wanted[]
}

/** The file while it looks for room, as long as it is now. */
interface Pool {
  extents: Extent[]
  bytes: number
}

interface Found extends Pool {
  parts: Placed[]
}

/**
 * How often what is needed, one after the other: what is given first may not be what is free in large pieces. Some more than
 * needed from the start, so that there is a choice for what grows.
 */
const FACTORS = [1.25, 1.5, 2, 3, 4, 6]
export const LESS_IS_WANTED = 'remove something, or take a smaller image, --slot-size or --state-size'

/** Of the file, each larger than the one before; none where there is not even room for what is needed. */
export function poolSizes(needed: number, room: number): number[] {
  if (room < needed) return []
  return [...new Set(FACTORS.map((factor) => Math.min(roundUp(needed * factor), Math.floor(room))))]
}

/**
 * Makes the file, which has the first of these sizes, larger as long as there is no place for all. It grows: blocks of a file
 * that was just removed are not given out again for seconds, so that a new one comes to lie in smaller and smaller pieces.
 * Throws `CARVE_FAILED`.
 */
export async function choosePlaces(
  carving: Carving,
  request: CarveRequest,
  sizes: readonly number[],
): Promise<Found> {
  let pool: Pool = { extents: [], bytes: 0 }
  for (const [index, bytes] of sizes.entries()) {
    if (index > 0) await carving.growFile(request.file, bytes)
    pool = await lookAt(carving, request, bytes)
    const parts = place(runsIn(pool, request), request.wanted, request.limit)
    if (parts !== undefined) return { ...pool, parts }
  }
  return exchange(carving, request, pool)
}

/** How often small pieces are given back for others. */
const EXCHANGES = 6

/**
 * As large as the file may be, it gives back its small pieces and grows by as much. ext4 gives out what follows the last
 * piece first: a run of which the file has a part only, as it was full before the rest of it, is had in whole then.
 */
async function exchange(carving: Carving, request: CarveRequest, first: Pool): Promise<Found> {
  const { file, wanted, limit } = request
  let pool = first
  for (let round = 0; round < EXCHANGES; round++) {
    const kept = largestPieces(pool, request)
    const given = totalOf(pool.extents) - totalOf(kept)
    if (given === 0) break
    for (const { logical, bytes } of gapsBetween(kept, pool.bytes))
      await carving.punchHole(file, logical, bytes)
    const bytes = pool.bytes + given
    await carving.growFile(file, bytes)
    const before = largestPlace(runsIn(pool, request))
    pool = await lookAt(carving, request, bytes)
    const runs = runsIn(pool, request)
    const parts = place(runs, wanted, limit)
    if (parts !== undefined) return { ...pool, parts }
    if (largestPlace(runs) <= before) break
  }
  throw tooScattered(request, runsIn(pool, request))
}

/** Of the largest runs, of which there are enough for what is wanted if only they were in one piece. */
function largestPieces(pool: Pool, request: CarveRequest): FilePiece[] {
  let needed = request.wanted.reduce((total, { bytes }) => total + bytes, 0)
  const kept: FilePiece[] = []
  for (const run of runsIn(pool, request).sort((one, other) => other.bytes - one.bytes)) {
    if (needed > 0) kept.push(...piecesOf(pool.extents, run, request.partitionOffset))
    needed -= run.bytes
  }
  return kept
}

function runsIn({ extents }: Pool, { partitionOffset }: CarveRequest): Run[] {
  return runsOf(extents, partitionOffset)
}

/** Throws `CARVE_FAILED` for blocks that are not of the partition. */
async function lookAt(carving: Carving, request: CarveRequest, bytes: number): Promise<Pool> {
  const { file, limit } = request
  const pool = { extents: await carving.mapExtents(file), bytes }
  const stray = runsIn(pool, request).find((run) => run.offset + run.bytes > limit)
  if (stray === undefined) return pool
  const text = `${file} has blocks up to ${stray.offset + stray.bytes} of the disk, its partition ends at ${limit}`
  throw new PineError('CARVE_FAILED', text, {
    hint: 'the file system is on more than that partition: use "install" on an idle disk',
  })
}

function tooScattered({ file, wanted }: CarveRequest, runs: readonly Run[]): PineError {
  const sizes = wanted.map(({ name, bytes }) => `${name} ${formatBytes(bytes)}`).join(', ')
  const text = `what is free in ${dirname(file)} is too scattered: the largest piece has ${formatBytes(largestPlace(runs))}, needed are ${sizes}`
  return new PineError('CARVE_FAILED', text, { hint: LESS_IS_WANTED })
}

export function roundUp(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT
}
