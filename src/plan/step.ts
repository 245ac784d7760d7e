import type { Digest } from '../core/digest.ts'
import type { SlotName } from '../model/boot-state.ts'
import type { ImageRecord, Rejection, StoredKeys, Trial } from '../model/records.ts'

/** One effect on the machine, as plain data. */
export type Step =
  /** Makes a slot unbootable; precedes the first write to it. */
  | { kind: 'disarm-slot'; slot: SlotName }
  /** Records that the slot's content is unknown from here on. */
  | { kind: 'forget-image'; slot: SlotName }
  | { kind: 'write-image'; slot: SlotName; image: Digest; bytes: number }
  /** Makes the slot anew: its repository, and the tree of its commit. */
  | { kind: 'write-tree'; slot: SlotName; commit: string; bytes: number }
  | { kind: 'flush-slot'; slot: SlotName }
  /** Reads the slot back from the device and compares its digest. */
  | { kind: 'verify-image'; slot: SlotName; image: Digest; bytes: number }
  /** Reads the slot back and compares every object, and every file of the tree. */
  | { kind: 'verify-tree'; slot: SlotName; commit: string }
  | { kind: 'record-image'; slot: SlotName; record: ImageRecord }
  | { kind: 'record-trial'; trial: Trial | null }
  /** The only step that changes what boots. `keepEtc`: boot with the /etc that the slot had. */
  | { kind: 'arm-slot'; slot: SlotName; tries: number; keepEtc: boolean }
  | { kind: 'confirm-slot'; slot: SlotName }
  | { kind: 'reject-slot'; slot: SlotName }
  | { kind: 'record-rejection'; rejection: Rejection }
  /** Releases below are refused from now on; the epoch never goes down. */
  | { kind: 'set-floors'; epoch: number; version: string }
  /** What signatures taught this host: newer keys, and that it cannot be earlier than `time` (seconds since 1970). */
  | { kind: 'record-trust'; keys: StoredKeys | null; time: number }
  /** The firmware starts our loader before that of the old system from now on. UEFI */
  | { kind: 'prefer-loader' }
  /** Stops the timer that would restart a machine that gives no verdict. */
  | { kind: 'stop-watchdog' }
  | { kind: 'reboot' }

export type StepKind = Step['kind']

/** What reads a slot back, whatever it holds. */
export function verifyStep(
  slot: SlotName,
  { digest, bytes, fs }: Pick<ImageRecord, 'digest' | 'bytes' | 'fs'>,
): Step {
  return fs === 'tree'
    ? { kind: 'verify-tree', slot, commit: digest }
    : { kind: 'verify-image', slot, image: digest, bytes }
}

/** What will be done, in order, and what for. JSON-safe. */
export interface Plan {
  intent: 'apply' | 'trust' | 'confirm' | 'reject' | 'rollback' | 'verdict'
  /** One sentence for a person: what this comes to. */
  outcome: string
  steps: readonly Step[]
}
