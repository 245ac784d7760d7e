import { type BootBackend, findBackend } from '../boot/backend.ts'
import { isLoaderFirst } from '../boot/firmware-choice.ts'
import { readMeta } from '../boot/grub-state.ts'
import { PineError } from '../core/error.ts'
import type { OpenRegion } from '../core/region.ts'
import type { Host } from '../host/host.ts'
import type { BootState, SlotName } from '../model/boot-state.ts'
import type { Facts, Takeover } from '../model/facts.ts'
import type { Layout } from '../model/layout.ts'
import { parseRecords, type Records } from '../model/records.ts'
import { openIdle, openLiveDisk, type PineDisk } from './disk.ts'
import { takeLock } from './lock.ts'

/** A disk of ours with its bootstate partition open. */
export interface Machine {
  host: Host
  disk: PineDisk
  bootstate: OpenRegion
  loader: BootBackend
  /** Tells whoever started this what did not stop it. */
  notice: (text: string) => void
}

export interface MachineOptions {
  /** A disk image or idle disk instead of the running machine. */
  disk: string | undefined
  /** Also takes the lock: one writer at a time. */
  writable: boolean
  /** Waits for the lock instead of throwing `BUSY`. */
  patient?: boolean
  /** See `Machine`. */
  notice?: (text: string) => void
}

/** Opens the machine for `use` and closes it after. Throws `NOT_A_PINE_DISK`, `BUSY`, `DISK_IN_USE`. */
export async function withMachine<T>(
  host: Host,
  options: MachineOptions,
  use: (machine: Machine) => Promise<T>,
): Promise<T> {
  const { patient = false, notice = () => undefined } = options
  const disk = await (options.disk === undefined ? openLiveDisk(host) : openIdle(host, options.disk))
  const bootstate = await disk.open('bootstate', { writable: options.writable })
  try {
    if (options.writable) await takeLock(host, disk, bootstate, { patient, notice })
    return await use({ host, disk, bootstate, loader: await findBackend(bootstate), notice })
  } finally {
    await bootstate.close()
  }
}

/** Looks at the machine as it is now. Throws `BOOT_STATE_INVALID`, `NOT_A_PINE_DISK`. */
export async function observe(machine: Machine): Promise<Facts> {
  const { disk, bootstate, loader } = machine
  const boot = await loader.read(bootstate)
  const records = await readRecords(machine)
  const seen = seenByLoader(disk, boot)
  const { path, live, layout } = disk
  return { disk: path, live, layout, boot, records, ...seen, takeover: await takeoverOf(machine) }
}

/** The partitions of a machine. Throws `NOT_A_PINE_DISK` for one whose slots are folders. */
export function requireLayout({ path, layout }: Pick<PineDisk, 'path' | 'layout'>): Layout {
  if (layout !== null) return layout
  throw new PineError('NOT_A_PINE_DISK', `${path} is a folder and has no partitions`, {
    hint: 'only machines with a disk of their own were taken over',
  })
}

/** The system that was taken over is still there. */
export function hasOldSystem({ isRehearsal, layout }: PineDisk): boolean {
  return isRehearsal || (layout !== null && layout.old !== undefined)
}

/** Of the old system; null where there is none. */
export async function takeoverOf({ host, disk }: Machine): Promise<Takeover | null> {
  const { isRehearsal, layout, cmdline, live } = disk
  if (layout === null || !hasOldSystem(disk)) return null
  if (isRehearsal) return { stage: 'rehearsal', unattended: cmdline.get('pine.unattended') === '1' }
  // Of a disk that does not run no firmware says anything.
  return { stage: 'committed', isFirst: !live || (await isLoaderFirst(host, layout)) }
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
export function seenByLoader({ live, cmdline }: PineDisk, boot: BootState | undefined): Seen {
  if (!live) {
    const booted = boot === undefined || boot.last === 'r' ? null : boot.last
    return { booted, loaderSeesState: true, sequenceAtBoot: null }
  }
  const slot = cmdline.get('pine.slot')
  const booted: SlotName | null = slot === 'a' || slot === 'b' ? slot : null
  const sequenceAtBoot = Number.parseInt(cmdline.get('pine.seq') ?? '', 10)
  const readIt = cmdline.get('pine.st') === '0' || cmdline.get('pine.st') === '1'
  const loaderSeesState = readIt && boot?.last === slot && sequenceAtBoot <= (boot?.sequence ?? 0)
  return { booted, loaderSeesState, sequenceAtBoot }
}
