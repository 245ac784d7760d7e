import { dirname } from 'node:path'
import { PineError } from '../core/error.ts'
import { formatBytes } from '../core/format.ts'
import type { Carving } from '../host/extents.ts'
import type { Host } from '../host/host.ts'
import { ALIGNMENT, largestPlace, type Placed, place, type Run, runsOf } from './place.ts'
import { RESERVE_BYTES, RESERVE_SHARE, type Wanted } from './wanted.ts'

/** Where the partition of a file system starts on its disk, and where it ends. In bytes. */
interface Places {
  partitionOffset: number
  limit: number
}

export interface CarveRequest extends Places {
  /** A new file in the root file system. */
  file: string
  wanted: readonly Wanted[]
}

/** A file whose blocks are to be partitions. */
export interface Carved {
  file: string
  /** In the order of what was wanted. */
  parts: Placed[]
}

/**
 * How often what is needed, one after the other: what is given first may not be what is free in large pieces. Some more than
 * needed from the start, so that there is a choice for what grows.
 */
const FACTORS = [1.25, 1.5, 2, 3, 4, 6]
const LESS_IS_WANTED = 'remove something, or take a smaller image, --slot-size or --state-size'

/**
 * Finds room for partitions inside a mounted file system: a file grows until its blocks can hold them, then all else of it
 * is given back. Throws `FILE_EXISTS` and `CARVE_FAILED`; the file system then is as it was. A process that is killed
 * meanwhile leaves the file: see `releaseCarved`.
 */
export async function carve(
  host: Pick<Host, 'freeBytes' | 'removeFile'>,
  carving: Carving,
  request: CarveRequest,
): Promise<Carved> {
  const { file, wanted, partitionOffset } = request
  const needed = wanted.reduce((total, { bytes }) => total + roundUp(bytes), ALIGNMENT)
  const room = await roomBeside(host, carving, file)
  const sizes = poolSizes(needed, room)
  const [first] = sizes
  if (first === undefined) throw noRoom(file, needed, room)
  await carving.allocateFile(file, first)
  try {
    const { parts, bytes } = await choosePlaces(carving, request, sizes)
    for (const gap of gapsOf(parts, bytes)) await carving.punchHole(file, gap.from, gap.to - gap.from)
    await checkCarved(carving, { file, parts }, partitionOffset)
    return { file, parts }
  } catch (error) {
    // What went wrong first is what matters.
    await host.removeFile(file).catch(() => undefined)
    throw error
  }
}

/** Bytes that the file may have, so that the running system does not run out of room while it is at its largest. */
async function roomBeside(host: Pick<Host, 'freeBytes'>, carving: Carving, file: string): Promise<number> {
  const folder = dirname(file)
  const reserve = Math.max(RESERVE_BYTES, RESERVE_SHARE * (await carving.fileSystemBytes(folder)))
  return (await host.freeBytes(folder)) - reserve
}

/** Of the file, each larger than the one before; none where there is not even room for what is needed. */
export function poolSizes(needed: number, room: number): number[] {
  if (room < needed) return []
  return [...new Set(FACTORS.map((factor) => Math.min(roundUp(needed * factor), Math.floor(room))))]
}

/**
 * Makes the file larger as long as there is no place for all. It grows: blocks of a file that was just removed are not
 * given out again for seconds, so that a new one comes to lie in smaller and smaller pieces.
 */
async function choosePlaces(
  carving: Carving,
  request: CarveRequest,
  sizes: readonly number[],
): Promise<{ parts: Placed[]; bytes: number }> {
  const { file } = request
  let runs: Run[] = []
  for (const [index, bytes] of sizes.entries()) {
    if (index > 0) await carving.growFile(file, bytes)
    runs = await mapRuns(carving, file, request)
    const parts = place(runs, request.wanted, request.limit)
    if (parts !== undefined) return { parts, bytes }
  }
  return exchange(carving, request, runs, sizes.at(-1) ?? 0)
}

/** How often small pieces are given back for others. */
const EXCHANGES = 6

/**
 * As large as the file may be, it gives back its small pieces and grows by as much. ext4 gives out what follows the last
 * piece first: a run of which the file has a part only, as it was full before the rest of it, is had in whole then.
 */
async function exchange(
  carving: Carving,
  request: CarveRequest,
  first: Run[],
  size: number,
): Promise<{ parts: Placed[]; bytes: number }> {
  let [runs, bytes] = [first, size]
  for (let round = 0; round < EXCHANGES; round++) {
    const small = smallest(runs, request.wanted)
    const given = small.reduce((total, { from, to }) => total + to - from, 0)
    if (given === 0) break
    for (const { from, to } of small) await carving.punchHole(request.file, from, to - from)
    bytes += given
    await carving.growFile(request.file, bytes)
    const before = largestPlace(runs)
    runs = await mapRuns(carving, request.file, request)
    const parts = place(runs, request.wanted, request.limit)
    if (parts !== undefined) return { parts, bytes }
    if (largestPlace(runs) <= before) break
  }
  throw tooScattered(request, runs)
}

/** All but the largest, of which there are enough for what is wanted if only they were in one piece. In the file. */
function smallest(runs: readonly Run[], wanted: readonly Wanted[]): { from: number; to: number }[] {
  let needed = wanted.reduce((total, { bytes }) => total + bytes, 0)
  const kept = new Set<Run>()
  for (const run of [...runs].sort((one, other) => other.bytes - one.bytes)) {
    if (needed > 0) kept.add(run)
    needed -= run.bytes
  }
  const given: { from: number; to: number }[] = []
  for (const run of runs.filter((each) => !kept.has(each))) {
    const [last, to] = [given.at(-1), run.logical + run.bytes]
    if (last?.to === run.logical) last.to = to
    else given.push({ from: run.logical, to })
  }
  return given
}

/** Throws `CARVE_FAILED` for blocks that are not of the partition. */
async function mapRuns(carving: Carving, file: string, { partitionOffset, limit }: Places): Promise<Run[]> {
  const runs = runsOf(await carving.mapExtents(file), partitionOffset)
  const stray = runs.find((run) => run.offset + run.bytes > limit)
  if (stray !== undefined) throw outside(file, stray, limit)
  return runs
}

/** What of the file is no partition. */
function gapsOf(parts: readonly Placed[], bytes: number): { from: number; to: number }[] {
  const inOrder = [...parts].sort((one, other) => one.logical - other.logical)
  const ends = [0, ...inOrder.map((part) => part.logical + part.bytes)]
  const starts = [...inOrder.map(({ logical }) => logical), bytes]
  return ends.flatMap((from, index) => {
    const to = starts[index] ?? bytes
    return to > from ? [{ from, to }] : []
  })
}

/** The parts are still where they were found. Throws `CARVE_FAILED`, and `FILE_NOT_FOUND` where the file is gone. */
export async function checkCarved(
  carving: Carving,
  { file, parts }: Carved,
  partitionOffset: number,
): Promise<void> {
  const runs = runsOf(await carving.mapExtents(file), partitionOffset)
  const moved = parts.filter((part) => !runs.some((run) => holds(run, part)))
  if (moved.length === 0) return
  const names = moved.map(({ name }) => name).join(', ')
  throw new PineError('CARVE_FAILED', `of ${file} no longer where it was found: ${names}`, {
    hint: 'something moved it, such as a defragmenter or a restored backup: give up with "hijack abort" and begin again',
  })
}

function holds(run: Run, part: Placed): boolean {
  const isInside = run.logical <= part.logical && part.logical + part.bytes <= run.logical + run.bytes
  return isInside && part.logical - run.logical === part.offset - run.offset
}

/** Gives all of it back to the old system; does nothing where there is no such file. */
export async function releaseCarved(
  host: Pick<Host, 'kindOf' | 'removeFile'>,
  carving: Carving,
  file: string,
): Promise<void> {
  if ((await host.kindOf(file)) === undefined) return
  await carving.setImmutable(file, false)
  await host.removeFile(file)
}

function noRoom(file: string, needed: number, room: number): PineError {
  const found = formatBytes(Math.max(0, room))
  const text = `${dirname(file)} can spare ${found}, ${formatBytes(needed)} are needed`
  return new PineError('CARVE_FAILED', text, { hint: LESS_IS_WANTED })
}

function tooScattered({ file, wanted }: CarveRequest, runs: readonly Run[]): PineError {
  const sizes = wanted.map(({ name, bytes }) => `${name} ${formatBytes(bytes)}`).join(', ')
  const text = `what is free in ${dirname(file)} is too scattered: the largest piece has ${formatBytes(largestPlace(runs))}, needed are ${sizes}`
  return new PineError('CARVE_FAILED', text, { hint: LESS_IS_WANTED })
}

function outside(file: string, { offset, bytes }: Run, limit: number): PineError {
  const text = `${file} has blocks up to ${offset + bytes} of the disk, its partition ends at ${limit}`
  return new PineError('CARVE_FAILED', text, {
    hint: 'the file system is on more than that partition: use "install" on an idle disk',
  })
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT
}
