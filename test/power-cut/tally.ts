import { OUTCOME_KINDS, type OutcomeKind } from './outcomes.ts'

/** One outcome that is neither old nor new, or that leads nowhere. */
export interface Bad {
  readonly phase: string
  /** The moments of the cuts; two where the recovery from the first was cut. */
  readonly cuts: readonly number[]
  readonly kind: OutcomeKind
  readonly problems: readonly string[]
  /** What was not flushed, and what of it reached the disk. */
  readonly volatile: readonly string[]
  readonly kept: readonly string[]
}

export interface Tally {
  cuts: number
  outcomes: number
  readonly kinds: Record<OutcomeKind, number>
  /** Marks of the disks. */
  readonly states: Set<string>
  /** Those that were followed to their end. */
  readonly followed: Set<string>
  readonly bad: Bad[]
}

export function emptyTally(): Tally {
  const kinds = Object.fromEntries(OUTCOME_KINDS.map((kind) => [kind, 0])) as Record<OutcomeKind, number>
  return { cuts: 0, outcomes: 0, kinds, states: new Set(), followed: new Set(), bad: [] }
}
