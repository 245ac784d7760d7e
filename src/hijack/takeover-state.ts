import { type BootState, DEFAULT_TRIES } from '../model/boot-state.ts'
import type { Records } from '../model/records.ts'
import type { TakeoverJournal } from './journal.ts'

/** What the old system's side of the disk shows. */
export interface TakeoverFacts {
  journal: TakeoverJournal
  /** The old loader starts the rehearsal next. */
  isArmed: boolean
  /** Of the carved bootstate partition; undefined where it cannot be read. */
  boot: BootState | undefined
  records: Records | undefined
  /** Our loader is what starts: it is in the boot sector, or the firmware was told of it. */
  isFlipped: boolean
  /** The firmware knows our loader, and starts another one: the one start of a commit was made, or not ordered yet. */
  wasGivenOneStart: boolean
}

/** How far a takeover has come, seen from the old system. */
export type TakeoverStage =
  | 'begun'
  | 'staged'
  | 'armed'
  | 'rehearsed'
  | 'failed'
  | 'silent'
  | 'committed'
  | 'returned'

/** Never from what was attempted: from what is on the disk. */
export function stageOf(facts: TakeoverFacts): TakeoverStage {
  const { journal, isArmed, boot, records } = facts
  if (facts.isFlipped) return 'committed'
  if (facts.wasGivenOneStart) return 'returned'
  if (!journal.isStaged || boot === undefined || records === undefined) return 'begun'
  if (isArmed) return 'armed'
  // Commit notes what it writes over only after a good rehearsal; it was cut off then.
  if (boot.slots.a.confirmed || journal.before !== null) return 'rehearsed'
  if (records.rejected.length > 0) return 'failed'
  return boot.sequence > FIRST_SEQUENCE ? 'silent' : 'staged'
}

/** Arming the rehearsal is the first write after staging. */
const FIRST_SEQUENCE = 1

/** Why the old system runs although the new one was started; undefined where nothing is known to have gone wrong. */
export function failureOf(facts: TakeoverFacts): string | undefined {
  const { records, boot, isFlipped } = facts
  const slot = boot?.slots.a
  const reason = records?.rejected.at(-1)?.reason
  if (reason !== undefined) return reason
  const stage = stageOf(facts)
  if (stage === 'silent') return 'it gave no verdict before its deadline'
  // Our loader notes a try before it starts it.
  if (stage === 'returned')
    return slot?.left === DEFAULT_TRIES
      ? 'the firmware was not asked, or what it started did not come as far as the new system'
      : 'it was started once, and gave no verdict'
  const isSpent = isFlipped && slot?.confirmed === false && slot.left === 0
  return isSpent ? 'it did not come up: all its tries were spent' : undefined
}
