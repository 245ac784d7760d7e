import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs'
import type { Random } from '../../test/power-cut/random.ts'

/** What a disk writes as a whole. */
export const SECTOR_BYTES = 512

/** What became of the writes that nobody had flushed when the power went. */
export interface Loss {
  /** Writes that were in the cache of the disk only. */
  readonly unflushed: number
  /** Of these: not one sector arrived. */
  readonly lost: number
  /** Of these: some sectors arrived, others did not. */
  readonly torn: number
  /** Bytes of all sectors that did not arrive. */
  readonly lostBytes: number
}

/** A disk as drives are: it says that a write is done when it is in its cache, and the cache dies with the power. */
export interface LossyDisk {
  readonly bytes: number
  read(offset: number, bytes: number): Buffer
  /** `durable`: done when it is on the disk (FUA); earlier writes stay where they are. */
  write(offset: number, content: Buffer, durable: boolean): void
  /** All writes so far are on the disk. */
  flush(): void
  /** The power goes. Any part of what was not flushed is on the disk after that, in any order and torn between sectors. */
  cut(random: Random): Loss
  close(): void
}

/** In the cache of the disk, or durable by itself; `before` is what was there. */
interface Cached {
  readonly offset: number
  readonly before: Buffer
  readonly durable: boolean
}

/** How likely a cached write is to have arrived, one of these for each cut: from none to nearly all. */
const ARRIVALS = [0, 0.1, 0.5, 0.9] as const
const TORN = 0.25

/** The file holds what a reader sees, cached writes included; a cut takes them back. */
export function openLossyDisk(path: string): LossyDisk {
  const file = openSync(path, 'r+')
  const bytes = fstatSync(file).size
  let cached: Cached[] = []

  function read(offset: number, length: number): Buffer {
    const content = Buffer.allocUnsafe(length)
    for (let done = 0; done < length; ) {
      const got = readSync(file, content, done, length - done, offset + done)
      if (got === 0) throw new Error(`${path} ended at ${offset + done}`)
      done += got
    }
    return content
  }

  function put(offset: number, content: Buffer): void {
    for (let done = 0; done < content.length; )
      done += writeSync(file, content, done, content.length - done, offset + done)
  }

  /** Backwards, so that each write meets what it left behind. Returns what they had written. */
  function takeBack(writes: readonly Cached[]): Buffer[] {
    const newestFirst = [...writes].reverse().map(({ offset, before }) => {
      const written = read(offset, before.length)
      put(offset, before)
      return written
    })
    return newestFirst.reverse()
  }

  return {
    bytes,
    read,
    write(offset, content, durable) {
      cached.push({ offset, before: read(offset, content.length), durable })
      put(offset, content)
    },
    flush() {
      cached = []
    },
    cut(random) {
      const writes = cached
      cached = []
      const contents = takeBack(writes)
      const unflushed = writes.map(({ offset, durable }, index): CachedWrite => {
        return { offset, durable, content: contents[index] ?? Buffer.alloc(0) }
      })
      const { pieces, loss } = whatArrives(unflushed, random)
      for (const { offset, content } of pieces) put(offset, content)
      return loss
    },
    close: () => closeSync(file),
  }
}

export interface Piece {
  readonly offset: number
  readonly content: Buffer
}

/** A write that the disk had taken when the power went. */
export interface CachedWrite extends Piece {
  readonly durable: boolean
}

/** Any part of what was in the cache, in the order in which it was written, torn between sectors. */
export function whatArrives(writes: readonly CachedWrite[], random: Random): { pieces: Piece[]; loss: Loss } {
  const arrival = ARRIVALS[random.below(ARRIVALS.length)] ?? 0
  const arrived = writes.map(({ offset, content, durable }): Arrived => {
    const every = everySector(content)
    const sectors = durable ? every : arrivedSectors(every, arrival, random)
    const isWhole = sectors.length === every.length
    const pieces = isWhole ? [{ offset, content }] : sectors.map((at) => sectorOf({ offset, content }, at))
    return { durable, sectors: every.length, arrived: sectors.length, pieces }
  })
  return {
    pieces: arrived.flatMap(({ pieces }) => pieces),
    loss: lossOf(arrived.filter(({ durable }) => !durable)),
  }
}

/** What became of one write. */
interface Arrived {
  readonly durable: boolean
  readonly sectors: number
  readonly arrived: number
  readonly pieces: readonly Piece[]
}

function sectorOf({ offset, content }: Piece, at: number): Piece {
  return { offset: offset + at, content: content.subarray(at, at + SECTOR_BYTES) }
}

/** Offsets within the write. */
function everySector(content: Buffer): number[] {
  return Array.from({ length: Math.ceil(content.length / SECTOR_BYTES) }, (_, index) => index * SECTOR_BYTES)
}

function arrivedSectors(every: readonly number[], arrival: number, random: Random): readonly number[] {
  if (random.chance(TORN)) return every.filter(() => random.chance(arrival))
  return random.chance(arrival) ? every : []
}

function lossOf(writes: readonly Arrived[]): Loss {
  const lost = writes.filter(({ arrived }) => arrived === 0)
  const whole = writes.filter(({ arrived, sectors }) => arrived === sectors)
  const missing = writes.reduce((total, { sectors, arrived }) => total + sectors - arrived, 0)
  return {
    unflushed: writes.length,
    lost: lost.length,
    torn: writes.length - lost.length - whole.length,
    lostBytes: missing * SECTOR_BYTES,
  }
}
