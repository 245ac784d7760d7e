import type { LogEvent } from '../boot/event-log.ts'
import type { BootState } from '../model/boot-state.ts'
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
  /** What the new system noted of its last start; undefined where it has not since it was last asked for. */
  lastBoot: LogEvent | undefined
  /** Our loader is in the boot sector. */
  isFlipped: boolean
}

/** How far a takeover has come, seen from the old system. */
export type TakeoverStage = 'begun' | 'staged' | 'armed' | 'rehearsed' | 'failed' | 'silent' | 'committed'

/** Never from what was attempted: from what is on the disk. */
export function stageOf({ journal, isArmed, boot, records, isFlipped }: TakeoverFacts): TakeoverStage {
  if (isFlipped) return 'committed'
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
  const reason = records?.rejected.at(-1)?.reason
  if (reason !== undefined) return reason
  if (stageOf(facts) === 'silent') return silenceOf(facts)
  const isOnTrial = isFlipped && boot?.slots.a.confirmed === false
  if (!isOnTrial || boot.last !== 'r') return undefined
  if (boot.slots.a.left === 0) return 'it did not come up: all its tries were spent'
  return 'its kernel or initrd could not be loaded, or "hijack abort" there asked for this system'
}

function silenceOf({ lastBoot }: TakeoverFacts): string {
  if (lastBoot === undefined)
    return 'it did not get as far as its health checks: its kernel stopped, it hung, or it was switched off'
  return `it was up and ${lastBoot.verdict} at ${lastBoot.at}, and nobody ran "pine-update confirm" there before its deadline`
}
