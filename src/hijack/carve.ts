import { dirname } from 'node:path'
import { PineError } from '../core/error.ts'
import { formatBytes } from '../core/format.ts'
import type { Carving } from '../host/extents.ts'
import type { Host } from '../host/host.ts'
import { gapsBetween, piecesOf, totalOf } from './file-pieces.ts'
import { ALIGNMENT, type Placed, roundUp } from './place.ts'
import { type CarveRequest, choosePlaces, poolSizes } from './pool.ts'
import { LESS_IS_WANTED, RESERVE_BYTES, RESERVE_SHARE } from './wanted.ts'

/** A file whose blocks are to be partitions. */
export interface Carved {
  file: string
  /** In the order of what was wanted. */
  parts: Placed[]
}

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
    const { parts, extents, bytes } = await choosePlaces(carving, request, sizes)
    const kept = parts.flatMap((part) => piecesOf(extents, part, partitionOffset))
    for (const gap of gapsBetween(kept, bytes)) await carving.punchHole(file, gap.logical, gap.bytes)
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

/** The parts are still where they were found. Throws `CARVE_FAILED`, and `FILE_NOT_FOUND` where the file is gone. */
export async function checkCarved(
  carving: Carving,
  { file, parts }: Carved,
  partitionOffset: number,
): Promise<void> {
  const extents = await carving.mapExtents(file)
  const moved = parts.filter((part) => totalOf(piecesOf(extents, part, partitionOffset)) < part.bytes)
  if (moved.length === 0) return
  const names = moved.map(({ name }) => name).join(', ')
  throw new PineError('CARVE_FAILED', `of ${file} no longer where it was found: ${names}`, {
    hint: 'something moved it, such as a defragmenter or a restored backup: give up with "hijack abort" and begin again',
  })
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
