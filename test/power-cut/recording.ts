import type { Role } from '../../src/model/layout.ts'
import { copyDisk, type Disk, type Piece } from './disk.ts'

/** One write, in the order of all writes and flushes of one run. */
export interface Written {
  readonly piece: Piece
  /** The moment at which it was handed to the disk. */
  readonly begun: number
  /** The moment at which a flush that covers it was over; infinite where none was. */
  durable: number
}

/** Everything that was written and flushed while something ran. */
export interface Recording {
  readonly start: Disk
  readonly written: Written[]
  /** Each write and each flush is one; power can go at 0 (before all of it) and after each of them. */
  moments: number
}

export function startRecording(disk: Disk): Recording {
  return { start: copyDisk(disk), written: [], moments: 0 }
}

export function recordWrite(recording: Recording, { role, offset, bytes }: Piece): void {
  recording.moments += 1
  const piece = { role, offset, bytes: Buffer.from(bytes) }
  recording.written.push({ piece, begun: recording.moments, durable: Number.POSITIVE_INFINITY })
}

/**
 * A flush makes durable what was written before it to the same partition, and only that: each partition has a page
 * cache of its own. The result is to be called when it is over: what comes meanwhile is not covered.
 */
export function recordFlush(recording: Recording, role: Role): () => void {
  const covered = recording.written.filter(
    ({ piece, durable }) => piece.role === role && durable === Number.POSITIVE_INFINITY,
  )
  return () => {
    recording.moments += 1
    for (const write of covered) write.durable = recording.moments
  }
}

/** What a power cut at one moment finds. */
export interface Cut {
  readonly moment: number
  /** Became durable at this very moment. */
  readonly settled: readonly Piece[]
  /** Handed to the disk, not flushed: any of it, in any order, may be there. */
  readonly volatile: readonly Piece[]
}

/** In order of time; `settled` of all cuts so far is what is certainly there. */
export function* cutsOf({ written, moments }: Recording): Generator<Cut> {
  for (let moment = 0; moment <= moments; moment++) {
    const settled = written.filter(({ durable }) => durable === moment)
    const volatile = written.filter(({ begun, durable }) => begun <= moment && durable > moment)
    yield {
      moment,
      settled: settled.map(({ piece }) => piece),
      volatile: volatile.map(({ piece }) => piece),
    }
  }
}
