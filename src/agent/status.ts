import { formatBytes } from '../core/format.ts'
import type { BootTarget, SlotName } from '../model/boot-state.ts'
import { type Facts, pendingTrial } from '../model/facts.ts'
import { simulateLoader } from '../model/loader.ts'
import type { ImageRecord, Rejection } from '../model/records.ts'
import type { Settings } from '../model/settings.ts'

/**
 * `unknown`: no image is recorded; never written, or a write that did not end. `unbootable`: disarmed, or all tries
 * spent without a verdict.
 */
export type SlotCondition = 'confirmed' | 'trial' | 'rejected' | 'unbootable' | 'unknown'

export interface SlotStatus {
  slot: SlotName
  booted: boolean
  condition: SlotCondition
  triesLeft: number
  image: ImageRecord | null
}

export interface StatusReport {
  disk: string
  live: boolean
  compatible: string
  /** What the loader would pick at the next boot. */
  nextBoot: BootTarget | null
  /** A release waits for its verdict; or null. */
  trial: { slot: SlotName; version: string; triesLeft: number } | null
  slots: SlotStatus[]
  rejected: Rejection[]
  epochFloor: number
  loaderSeesState: boolean
}

/** The state of a machine, from its boot state and records. */
export function statusOf(facts: Facts, settings: Settings): StatusReport {
  const { boot, records } = facts
  const onTrial = pendingTrial(facts)
  const trial =
    onTrial === undefined
      ? null
      : {
          slot: onTrial,
          version: records.slots[onTrial]?.version ?? 'unknown',
          triesLeft: boot.slots[onTrial].left,
        }
  return {
    disk: facts.disk,
    live: facts.live,
    compatible: settings.compatible ?? records.compatible,
    nextBoot: simulateLoader(boot, (target) => target !== 'r').pick,
    trial,
    slots: [slotStatus(facts, 'a'), slotStatus(facts, 'b')],
    rejected: records.rejected,
    epochFloor: records.epochFloor,
    loaderSeesState: facts.loaderSeesState,
  }
}

function slotStatus(facts: Facts, slot: SlotName): SlotStatus {
  const { confirmed, left } = facts.boot.slots[slot]
  const image = facts.records.slots[slot]
  const condition = confirmed ? 'confirmed' : unconfirmedCondition(facts, slot)
  return { slot, booted: facts.booted === slot, condition, triesLeft: left, image }
}

function unconfirmedCondition(facts: Facts, slot: SlotName): SlotCondition {
  const image = facts.records.slots[slot]
  if (pendingTrial(facts) === slot) return 'trial'
  if (image === null) return 'unknown'
  return facts.records.rejected.some(({ digest }) => digest === image.digest) ? 'rejected' : 'unbootable'
}

/** The report for a person. */
export function describeStatus(report: StatusReport): string {
  const lines = [
    `disk        ${report.disk}${report.live ? '' : ' (does not run)'}, for ${report.compatible}`,
  ]
  for (const slot of report.slots) lines.push(describeSlot(slot))
  lines.push(`next boot   ${describeNext(report)}`)
  if (!report.loaderSeesState) {
    lines.push('WARNING     the loader of this boot did not read this boot state; updates are refused')
  }
  for (const { version, at, reason, digest } of report.rejected) {
    lines.push(`rejected    ${version} (${digest.slice(0, 12)}) at ${at}: ${reason}`)
  }
  return lines.join('\n')
}

function describeSlot({ slot, booted, condition, triesLeft, image }: SlotStatus): string {
  const holds =
    image === null
      ? 'no known image'
      : `${image.version} (${image.digest.slice(0, 12)}, ${formatBytes(image.bytes)})`
  const tries = triesLeft === 1 ? '1 try left' : `${triesLeft} tries left`
  return `slot ${slot}      ${booted ? 'booted, ' : ''}${condition}, ${tries}: ${holds}`
}

function describeNext({ nextBoot, trial }: StatusReport): string {
  if (nextBoot === null) return 'nothing can boot'
  if (trial?.slot !== nextBoot) return nextBoot === 'r' ? 'the old system' : `slot ${nextBoot}`
  return `slot ${nextBoot}: ${trial.version} on trial`
}
