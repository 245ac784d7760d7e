import { type Piece, SECTOR_BYTES } from './disk.ts'
import type { Random } from './random.ts'

/** How an outcome came about; also the columns of the report. */
export const OUTCOME_KINDS = [
  'nothing',
  'everything',
  'one lost',
  'one kept',
  'torn',
  'mixed',
  'half',
] as const
export type OutcomeKind = (typeof OUTCOME_KINDS)[number]

/** One disk that a power cut may leave: these pieces over what was durable. */
export interface Outcome {
  readonly kind: OutcomeKind
  /** In the order of the writes. Where two have the same place the later one is there. */
  readonly pieces: readonly Piece[]
}

export interface OutcomeOptions {
  /** At most about that many for one cut; where fewer are possible there are fewer, and some may come twice. */
  readonly limit: number
  readonly random: Random
  /** Also tears single sectors. */
  readonly half: boolean
}

/**
 * Disks that a power cut may leave where `volatile` was handed over and not flushed. Sectors are written as a whole, each
 * at its own time: any of them may be there or not, whichever write it belongs to, which covers every order of writes.
 * The kind `half` goes beyond what disks promise: one sector has bytes of both.
 */
export function* outcomesOf(
  volatile: readonly Piece[],
  { limit, random, half }: OutcomeOptions,
): Generator<Outcome> {
  yield { kind: 'nothing', pieces: [] }
  if (volatile.length === 0) return
  yield { kind: 'everything', pieces: volatile }
  const share = Math.max(1, Math.floor(limit / 5))
  for (const index of sample(volatile.length, share, random)) {
    yield { kind: 'one lost', pieces: volatile.filter((_, other) => other !== index) }
    yield { kind: 'one kept', pieces: volatile.slice(index, index + 1) }
  }
  yield* tornWrites(volatile, share, random)
  if (half) yield* halfSectors(volatile, share, random)
  for (let count = 0; count < share * 2; count++)
    yield { kind: 'mixed', pieces: someSectors(volatile, random) }
}

/** Up to `count` different numbers below `bound`. */
function sample(bound: number, count: number, random: Random): number[] {
  const all = Array.from({ length: bound }, (_, index) => index)
  if (bound <= count) return all
  for (let index = 0; index < count; index++) {
    const other = index + random.below(bound - index)
    ;[all[index], all[other]] = [all[other] ?? 0, all[index] ?? 0]
  }
  return all.slice(0, count)
}

/** Positions in a piece at which a sector of the disk begins, and its two ends. */
function bordersOf({ offset, bytes }: Piece): number[] {
  const borders = [0]
  const first = SECTOR_BYTES - (offset % SECTOR_BYTES)
  for (let at = first; at < bytes.length; at += SECTOR_BYTES) borders.push(at)
  borders.push(bytes.length)
  return borders
}

function partOf({ role, offset, bytes }: Piece, from: number, to: number): Piece {
  return { role, offset: offset + from, bytes: bytes.subarray(from, to) }
}

/** One write ends, or begins, at a sector border; what was written before it is there. */
function* tornWrites(volatile: readonly Piece[], share: number, random: Random): Generator<Outcome> {
  const borders = volatile.flatMap((piece, index) =>
    bordersOf(piece)
      .slice(1, -1)
      .map((at) => ({ piece, index, at })),
  )
  for (const chosen of sample(borders.length, share, random)) {
    const border = borders[chosen]
    if (border === undefined) continue
    const { piece, index, at } = border
    const before = volatile.slice(0, index)
    yield { kind: 'torn', pieces: [...before, partOf(piece, 0, at)] }
    yield { kind: 'torn', pieces: [...before, partOf(piece, at, piece.bytes.length)] }
  }
}

/** Which sectors of each write are there; as often nearly all or nearly none as half of them. */
function someSectors(volatile: readonly Piece[], random: Random): Piece[] {
  const probability = (1 + random.below(19)) / 20
  const isWhole = random.chance(0.3)
  return volatile.flatMap((piece) => {
    if (isWhole) return random.chance(probability) ? [piece] : []
    return runsOf(piece, () => random.chance(probability))
  })
}

/** Neighbouring sectors that are kept become one piece. */
function runsOf(piece: Piece, keep: () => boolean): Piece[] {
  const runs: Piece[] = []
  let start: number | undefined
  for (const at of bordersOf(piece)) {
    const kept = at < piece.bytes.length && keep()
    if (kept) start ??= at
    if (kept || start === undefined) continue
    runs.push(partOf(piece, start, at))
    start = undefined
  }
  return runs
}

/** Larger writes are data, guarded by digests of whole images: there a torn sector is a torn image. */
const SMALL_BYTES = 64 * 1024

function* halfSectors(volatile: readonly Piece[], share: number, random: Random): Generator<Outcome> {
  const small = volatile.filter(({ bytes }) => bytes.length <= SMALL_BYTES)
  for (let count = 0; count < share && small.length > 0; count++) {
    const piece = small[random.below(small.length)]
    if (piece === undefined) continue
    // Most of a record or line is filling: what matters is at the start.
    const at = 1 + random.below(Math.min(piece.bytes.length, (1 + random.below(4)) * SECTOR_BYTES) - 1)
    const before = volatile.slice(0, volatile.indexOf(piece))
    const half = random.chance(0.5) ? partOf(piece, 0, at) : partOf(piece, at, piece.bytes.length)
    yield { kind: 'half', pieces: random.chance(0.5) ? [half] : [...before, half] }
  }
}
