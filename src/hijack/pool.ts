import { dirname } from 'node:path'
import { PineError } from '../core/error.ts'
import { formatBytes } from '../core/format.ts'
import type { Carving, Extent } from '../host/extents.ts'
import { type FilePiece, gapsBetween, piecesOf, totalOf } from './file-pieces.ts'
import { largestPlace, type Placed, place, type Run, roundUp, runsOf } from './place.ts'
import { LESS_IS_WANTED, type Wanted } from './wanted.ts'

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
  bytes: number
  extents: Extent[]
  runs: Run[]
  /** Where all that is wanted has a place in those. */
  parts: Placed[] | undefined
}

type Found = Pool & { parts: Placed[] }

/**
 * How often what is needed, one after the other: what is given first may not be what is free in large pieces. Some more than
 * needed from the start, so that there is a choice for what grows.
 */
const FACTORS = [1.25, 1.5, 2, 3, 4, 6]

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
  let pool: Pool = { bytes: 0, extents: [], runs: [], parts: undefined }
  for (const [index, bytes] of sizes.entries()) {
    if (index > 0) await carving.growFile(request.file, bytes)
    pool = await lookAt(carving, request, bytes)
    if (hasPlaces(pool)) return pool
  }
  return exchange(carving, request, pool)
}

function hasPlaces(pool: Pool): pool is Found {
  return pool.parts !== undefined
}

/** How often small pieces are given back for others. */
const EXCHANGES = 6

/**
 * As large as the file may be, it gives back its small pieces and grows by as much. ext4 gives out what follows the last
 * piece first: a run of which the file has a part only, as it was full before the rest of it, is had in whole then.
 */
async function exchange(carving: Carving, request: CarveRequest, first: Pool): Promise<Found> {
  const { file } = request
  let pool = first
  for (let round = 0; round < EXCHANGES; round++) {
    const kept = largestPieces(pool, request)
    const given = totalOf(pool.extents) - totalOf(kept)
    if (given === 0) break
    for (const { logical, bytes } of gapsBetween(kept, pool.bytes))
      await carving.punchHole(file, logical, bytes)
    const bytes = pool.bytes + given
    await carving.growFile(file, bytes)
    const before = largestPlace(pool.runs)
    pool = await lookAt(carving, request, bytes)
    if (hasPlaces(pool)) return pool
    if (largestPlace(pool.runs) <= before) break
  }
  throw tooScattered(request, pool.runs)
}

/**
 * Of the largest runs, of which there are enough for what is wanted if only they were in one piece; but not what is small beside
 * the largest: it keeps the rest of that one out of the file.
 */
function largestPieces({ runs, extents }: Pool, { wanted, partitionOffset }: CarveRequest): FilePiece[] {
  let needed = totalOf(wanted)
  const kept: FilePiece[] = []
  const inOrder = [...runs].sort((one, other) => other.bytes - one.bytes)
  const least = (inOrder[0]?.bytes ?? 0) / 2
  for (const run of inOrder) {
    if (needed > 0 && run.bytes >= least) kept.push(...piecesOf(extents, run, partitionOffset))
    needed -= run.bytes
  }
  return kept
}

/** Throws `CARVE_FAILED` for blocks that are not of the partition. */
async function lookAt(carving: Carving, request: CarveRequest, bytes: number): Promise<Pool> {
  const { file, partitionOffset, limit, wanted } = request
  const extents = await carving.mapExtents(file)
  const runs = runsOf(extents, partitionOffset)
  const stray = runs.find((run) => run.offset + run.bytes > limit)
  if (stray === undefined) return { bytes, extents, runs, parts: place(runs, wanted, limit) }
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
