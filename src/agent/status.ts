import type { BootState, BootTarget, SlotName } from '../model/boot-state.ts'
import { type Facts, pendingTrial } from '../model/facts.ts'
import { simulateLoader } from '../model/loader.ts'
import type { ImageRecord, Records, Rejection } from '../model/records.ts'
import type { Settings } from '../model/settings.ts'

/** `Facts`, as far as they can be read. */
export interface Seen extends Pick<Facts, 'disk' | 'live' | 'booted' | 'loaderSeesState' | 'takeover'> {
  boot: BootState | undefined
  /** What the loader will read; default: `boot`. */
  bootNext?: BootState | undefined
  records: Records | undefined
}

/**
 * `unknown`: no image is recorded, since none was written, or not to its end; or the boot state cannot be read.
 * `unbootable`: disarmed, or all tries spent without a verdict.
 */
export type SlotCondition = 'confirmed' | 'trial' | 'rejected' | 'unbootable' | 'unknown'

export interface SlotStatus {
  slot: SlotName
  booted: boolean
  condition: SlotCondition
  /** Null where the boot state cannot be read. */
  triesLeft: number | null
  /** What was read back from the slot after it was written; null where that is not known. */
  image: ImageRecord | null
  /** Whether it still holds that, byte by byte; null where nobody looked. */
  verified: boolean | null
}

export interface StatusReport {
  disk: string
  live: boolean
  /** Null where it is neither configured nor recorded. */
  compatible: string | null
  bootStateReadable: boolean
  /** What the loader would pick at the next boot; without a readable boot state what it tries first. */
  nextBoot: BootTarget | null
  /** A release waits for its verdict; or null. */
  trial: { slot: SlotName; version: string; triesLeft: number } | null
  slots: SlotStatus[]
  rejected: Rejection[]
  /** Null where the records cannot be read. */
  epochFloor: number | null
  /** The version confirmed last; older ones are refused. Null where none is recorded. */
  versionFloor: string | null
  /** Number of the key list that was learnt; null where the keys in /etc count. */
  keyList: number | null
  loaderSeesState: boolean
  /** How far the takeover of an old system is that is still there; null where there is none. */
  takeover: 'rehearsal' | 'committed' | null
}

/** The state of a machine, from its boot state and records. */
export function statusOf(seen: Seen, settings: Settings): StatusReport {
  const { boot, bootNext = boot, records } = seen
  return {
    disk: seen.disk,
    live: seen.live,
    compatible: settings.compatible ?? records?.compatible ?? null,
    bootStateReadable: boot !== undefined,
    nextBoot: nextBootOf(bootNext, seen.takeover),
    trial: trialStatus(seen),
    slots: [slotStatus(seen, 'a'), slotStatus(seen, 'b')],
    rejected: records?.rejected ?? [],
    epochFloor: records?.epochFloor ?? null,
    versionFloor: records?.versionFloor ?? null,
    keyList: records?.keys?.version ?? null,
    loaderSeesState: seen.loaderSeesState,
    takeover: seen.takeover?.stage ?? null,
  }
}

/** A rehearsal was asked for once, of a loader that does not read this boot state; our own may have been, of UEFI. */
function nextBootOf(boot: BootState | undefined, takeover: Seen['takeover']): BootTarget | null {
  if (takeover?.stage === 'rehearsal' || takeover?.isFirst === false) return 'r'
  return simulateLoader(boot, (target) => target !== 'r' || takeover !== null).pick
}

function trialStatus({ boot, booted, records }: Seen): StatusReport['trial'] {
  const slot = boot === undefined ? undefined : pendingTrial({ boot, booted })
  if (boot === undefined || slot === undefined) return null
  return { slot, version: records?.slots[slot]?.version ?? 'unknown', triesLeft: boot.slots[slot].left }
}

function slotStatus(seen: Seen, slot: SlotName): SlotStatus {
  return {
    slot,
    booted: seen.booted === slot,
    condition: conditionOf(seen, slot),
    triesLeft: seen.boot?.slots[slot].left ?? null,
    image: seen.records?.slots[slot] ?? null,
    verified: null,
  }
}

function conditionOf({ boot, booted, records }: Seen, slot: SlotName): SlotCondition {
  if (boot === undefined) return 'unknown'
  if (boot.slots[slot].confirmed) return 'confirmed'
  if (pendingTrial({ boot, booted }) === slot) return 'trial'
  const image = records?.slots[slot] ?? null
  if (image === null) return 'unknown'
  return records?.rejected.some(({ digest }) => digest === image.digest) ? 'rejected' : 'unbootable'
}
