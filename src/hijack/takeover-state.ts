import type { LogEvent } from '../boot/event-log.ts'
import { type BootState, DEFAULT_TRIES, type SlotBootState } from '../model/boot-state.ts'
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
  /** Our loader is what starts: it is in the boot sector, or the firmware was told of it. */
  isFlipped: boolean
  /** Our loader started the old system: see `pine.slot` in docs/boot.md. */
  isFallback: boolean
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
  const { records, boot, isFallback } = facts
  const reason = records?.rejected.at(-1)?.reason
  if (reason !== undefined) return reason
  const stage = stageOf(facts)
  if (stage === 'silent') return silenceOf(facts)
  // Without a commit it is the start after a takeover that was given up.
  const wasStarted = stage === 'committed' || stage === 'returned'
  if (wasStarted && isFallback) return fallbackOf(boot)
  return stage === 'returned' ? returnOf(boot?.slots.a) : undefined
}

/** What our loader did before it started the old system: see `attempts` in model/loader.ts. */
function fallbackOf(boot: BootState | undefined): string {
  if (boot === undefined) return 'what is noted of its starts cannot be read'
  // Noted for the one start that somebody asked for, never for one that nothing else was left for.
  if (boot.last === 'r') return '"hijack abort" there asked for this system'
  if (boot.slots.a.left === 0) return 'it did not come up: all its tries were spent'
  return 'its kernel or initrd could not be loaded'
}

/** Our loader notes a try before it starts it. */
function returnOf(slot: SlotBootState | undefined): string {
  return slot?.left === DEFAULT_TRIES
    ? 'the firmware was not asked, or what it started did not come as far as the new system'
    : 'it was started once, and gave no verdict'
}

function silenceOf({ lastBoot }: TakeoverFacts): string {
  if (lastBoot === undefined)
    return 'it did not get as far as its health checks: its kernel stopped, it hung, or it was switched off'
  return `it was up and ${lastBoot.verdict} at ${lastBoot.at}, and nobody ran "pine-update confirm" there before its deadline`
}
