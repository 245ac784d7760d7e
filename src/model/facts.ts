import { type BootState, firstSlot, otherSlot, type SlotName } from './boot-state.ts'
import type { Layout } from './layout.ts'
import type { Records } from './records.ts'

/** Everything a planner may know about a machine, observed at one moment. */
export interface Facts {
  /** The disk's device or image file. */
  disk: string
  /** False for a disk image or an idle disk (`--disk`). */
  live: boolean
  /** Null for a folder machine. */
  layout: Layout | null
  boot: BootState
  /** The slot that runs; on a disk image the one that the loader picked last. Null before the first boot. */
  booted: SlotName | null
  /** `sequence` of the boot state that the running loader read; null on a disk image. */
  sequenceAtBoot: number | null
  /** The running loader handed us numbers that agree with the boot state on this disk. */
  loaderSeesState: boolean
  records: Records
  /** The old system is on the disk, and starts where the new one does not; null where there is none. */
  takeover: Takeover | null
}

/** `unattended`: healthy is enough; else somebody must reach the new system, and say so. */
export type Takeover = { stage: 'rehearsal'; unattended: boolean } | Committed

interface Committed {
  stage: 'committed'
  /** Our loader starts where nobody asks for another one; with UEFI only once it is known that it does start. */
  isFirst: boolean
}

/** The slot that runs, or on a disk that has not booted yet the one that would. */
export function runningSlot(facts: Facts): SlotName {
  return facts.booted ?? firstSlot(facts.boot)
}

/** The slot an update goes to: the one that does not run. */
export function inactiveSlot(facts: Facts): SlotName {
  return otherSlot(runningSlot(facts))
}

/** A slot that was armed and has neither been confirmed nor given up. */
export function pendingTrial(facts: Pick<Facts, 'boot' | 'booted'>): SlotName | undefined {
  const first = firstSlot(facts.boot)
  const { confirmed, left } = facts.boot.slots[first]
  const trialRuns = facts.booted === first && !confirmed
  return !confirmed && (left > 0 || trialRuns) ? first : undefined
}
