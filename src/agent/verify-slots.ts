import { digestRegion } from '../core/digest-region.ts'
import { PineError } from '../core/error.ts'
import type { OnProgress } from '../core/progress.ts'
import { nativeHashing } from '../host/native.ts'
import type { SlotName } from '../model/boot-state.ts'
import type { ImageRecord } from '../model/records.ts'
import { type Machine, readRecords } from '../run/machine.ts'
import { problemOfTree } from '../run/tree.ts'
import type { SlotStatus } from './status.ts'

export interface Verified {
  slots: SlotStatus[]
  problems: PineError[]
}

/** Reads both slots from the device and compares them with what is recorded; what is not recorded, or is the root of a container, is not looked at. */
export async function verifySlots(
  machine: Machine,
  slots: readonly SlotStatus[],
  onProgress: (slot: Recorded, ...done: Parameters<OnProgress>) => void,
): Promise<Verified> {
  const verified: Verified = { slots: [], problems: [] }
  for (const status of slots) {
    const { slot, booted, image } = status
    const recorded = slot === machine.disk.atRoot ? null : image && { slot, booted, image }
    const problem =
      recorded && (await problemOf(machine, recorded, (...done) => onProgress(recorded, ...done)))
    if (problem instanceof PineError) verified.problems.push(problem)
    verified.slots.push({ ...status, verified: verdictOf(problem) })
  }
  return verified
}

/** A slot that cannot be read, or is being written, holds nothing that one could be wrong about. */
function verdictOf(problem: PineError | null | undefined): boolean | null {
  if (problem === undefined) return true
  return problem?.code === 'IMAGE_MISMATCH' ? false : null
}

interface Recorded {
  slot: SlotName
  booted: boolean
  image: ImageRecord
}

/** Undefined where the slot holds its image, null where it was given another purpose meanwhile. */
async function problemOf(
  machine: Machine,
  recorded: Recorded,
  onProgress: OnProgress,
): Promise<PineError | null | undefined> {
  const { slot, image } = recorded
  try {
    const found = await foundIn(machine, recorded, onProgress)
    if (found === undefined) return undefined
    const now = (await readRecords(machine)).slots[slot]
    return now?.writtenAt === image.writtenAt && now.digest === image.digest
      ? mismatch(recorded, found)
      : null
  } catch (error) {
    if (error instanceof PineError) return error
    throw error
  }
}

/** Undefined where it is what is recorded. */
async function foundIn(
  machine: Machine,
  recorded: Recorded,
  onProgress: OnProgress,
): Promise<string | undefined> {
  const { slot, image } = recorded
  if (image.fs === 'tree')
    return await problemOfTree(machine.disk, { slot, commit: image.digest, onProgress })
  const digest = await digestOfSlot(machine, recorded, onProgress)
  return digest === image.digest ? undefined : digest.slice(0, 12)
}

async function digestOfSlot(
  { disk }: Machine,
  { slot, image }: Recorded,
  onProgress: OnProgress,
): Promise<string> {
  const region = await disk.open(`rootfs-${slot}`, { writable: false })
  try {
    // From the device: the cache may hold what never got there.
    await region.dropCache()
    const bytes = Math.min(image.bytes, region.bytes)
    return await digestRegion(region, { hashing: nativeHashing(), bytes, onProgress })
  } finally {
    await region.close()
  }
}

function mismatch({ slot, booted, image }: Recorded, found: string): PineError {
  const { version, digest } = image
  return new PineError(
    'IMAGE_MISMATCH',
    `slot ${slot} holds ${found}, expected ${version} (${digest.slice(0, 12)}), which was read back when it was written`,
    {
      hint: booted
        ? 'the release that runs was changed on the disk: look at dmesg and smartctl, then roll back or apply a full bundle'
        : 'do not go back to it; apply a release, which writes the slot anew, and look at dmesg and smartctl',
    },
  )
}
