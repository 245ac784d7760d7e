import { type BootBackend, findBackend } from '../boot/backend.ts'
import { readMeta } from '../boot/grub-state.ts'
import { PineError } from '../core/error.ts'
import type { OpenRegion } from '../core/region.ts'
import type { Host } from '../host/host.ts'
import type { BootState, SlotName } from '../model/boot-state.ts'
import type { Facts } from '../model/facts.ts'
import { parseRecords, type Records } from '../model/records.ts'
import { openDiskImage, openLiveDisk, type PineDisk } from './disk.ts'

/** A disk of ours with its bootstate partition open. */
export interface Machine {
  host: Host
  disk: PineDisk
  bootstate: OpenRegion
  loader: BootBackend
}

export interface MachineOptions {
  /** A disk image or idle disk instead of the running machine. */
  disk: string | undefined
  /** Also takes the lock: one writer at a time. */
  writable: boolean
  /** Waits for the lock instead of throwing `BUSY`. */
  patient?: boolean
}

/** Opens the machine for `use` and closes it after. Throws `NOT_A_PINE_DISK`, `BUSY`. */
export async function withMachine<T>(
  host: Host,
  options: MachineOptions,
  use: (machine: Machine) => Promise<T>,
): Promise<T> {
  const disk = await (options.disk === undefined ? openLiveDisk(host) : openDiskImage(host, options.disk))
  const bootstate = await disk.open('bootstate', { writable: options.writable })
  try {
    if (options.writable) await lock(host, bootstate, options.patient ?? false)
    return await use({ host, disk, bootstate, loader: await findBackend(bootstate) })
  } finally {
    await bootstate.close()
  }
}

const LOCK_RETRY_MS = 1000

async function lock(host: Host, bootstate: OpenRegion, patient: boolean): Promise<void> {
  while (!bootstate.tryLock()) {
    if (!patient) {
      throw new PineError('BUSY', `another pine-update is at work on ${bootstate.name}`, {
        hint: 'wait until it ends; "pine-update status" may be asked at any time',
      })
    }
    await host.sleep(LOCK_RETRY_MS)
  }
}

/** Looks at the machine as it is now. Throws `BOOT_STATE_INVALID`, `NOT_A_PINE_DISK`. */
export async function observe(machine: Machine): Promise<Facts> {
  const { disk, bootstate, loader } = machine
  const boot = await loader.read(bootstate)
  const records = await readRecords(machine)
  const seen = seenByLoader(disk, boot)
  return { disk: disk.path, live: disk.live, layout: disk.layout, boot, records, ...seen }
}

export async function readRecords({ disk, bootstate }: Machine): Promise<Records> {
  const records = parseRecords(await readMeta(bootstate))
  if (records !== undefined) return records
  throw new PineError(
    'NOT_A_PINE_DISK',
    `the records in the bootstate partition of ${disk.path} cannot be read`,
    {
      hint: 'both copies are damaged or of a newer pine-update; the boot state itself still works',
    },
  )
}

type Seen = Pick<Facts, 'booted' | 'loaderSeesState' | 'sequenceAtBoot'>

/**
 * What the loader told the kernel must agree with the boot state on this disk; where it does not, another
 * loader or another disk decides what boots, and nothing we write would ever take effect.
 */
function seenByLoader({ live, cmdline }: PineDisk, boot: BootState): Seen {
  if (!live) {
    const booted = boot.last === 'r' ? null : boot.last
    return { booted, loaderSeesState: true, sequenceAtBoot: null }
  }
  const slot = cmdline.get('pine.slot')
  const booted: SlotName | null = slot === 'a' || slot === 'b' ? slot : null
  const sequenceAtBoot = Number.parseInt(cmdline.get('pine.seq') ?? '', 10)
  const readIt = cmdline.get('pine.st') === '0' || cmdline.get('pine.st') === '1'
  const loaderSeesState = readIt && boot.last === slot && sequenceAtBoot <= boot.sequence
  return { booted, loaderSeesState, sequenceAtBoot }
}
