import { formatBytes } from '../core/format.ts'
import type { Role } from '../model/layout.ts'
import { BOOTSTATE_BYTES } from '../model/layout.ts'
import type { BoxFacts } from './box-facts.ts'
import { type Problem, stop } from './problem.ts'

/** A partition to be found room for inside the old root. */
export interface Wanted {
  name: Role
  bytes: number
  /** It is grown when the old system goes. */
  grows?: boolean
}

export interface Sizes {
  /** Of each slot; undefined: twice the image. */
  slotBytes: number | undefined
  /** Of the state partition until the old system goes. */
  stateBytes: number
}

const MIB = 1024 ** 2
const SMALLEST_SLOT = 128 * MIB
const SLOT_STEP = 32 * MIB
const SWAP_BYTES = 32 * MIB
/** A machine with less than this has that much instead: 128 MB used all of 32 MiB until a rehearsal was confirmed. */
const LITTLE_MEMORY = { memory: 192 * MIB, swap: 128 * MIB }
/** What helps where there is no room. */
export const LESS_IS_WANTED = 'remove something, or take a smaller image, --slot-size or --state-size'
/** What carving leaves to the running system: this share of its file system, and no less than that. */
export const RESERVE_SHARE = 0.05
export const RESERVE_BYTES = 200 * MIB

export function wantedPartitions(
  imageBytes: number,
  { slotBytes, stateBytes }: Sizes,
  memoryBytes: number,
): Wanted[] {
  const slot = slotBytes ?? Math.max(SMALLEST_SLOT, roundUp(2 * imageBytes, SLOT_STEP))
  return [
    { name: 'rootfs-a', bytes: slot },
    { name: 'rootfs-b', bytes: slot },
    { name: 'bootstate', bytes: BOOTSTATE_BYTES },
    { name: 'swap', bytes: memoryBytes < LITTLE_MEMORY.memory ? LITTLE_MEMORY.swap : SWAP_BYTES },
    { name: 'state', bytes: roundUp(stateBytes, MIB), grows: true },
  ]
}

export function roomProblem({ freeBytes, root }: BoxFacts, wanted: readonly Wanted[]): Problem[] {
  const reserve = Math.max(RESERVE_BYTES, RESERVE_SHARE * (root.partition?.bytes ?? 0))
  const needed = wanted.reduce((total, { bytes }) => total + bytes, 0) + reserve
  if (freeBytes >= needed) return []
  const text = `/ has ${formatBytes(freeBytes)} free, ${formatBytes(needed)} are needed, of which ${formatBytes(reserve)} stay free`
  return [stop(text, LESS_IS_WANTED)]
}

function roundUp(value: number, step: number): number {
  return Math.ceil(value / step) * step
}
