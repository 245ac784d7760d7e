import { CONTAINER, readContainerCmdline } from '../boot/container.ts'
import { PineError } from '../core/error.ts'
import type { OpenRegion } from '../core/region.ts'
import type { Room } from '../core/room.ts'
import type { Host } from '../host/host.ts'
import { slotFileSystemRoom } from '../host/make-file-system.ts'
import { diskWithTable, type KnownPartition, listPartitions } from '../host/partitions.ts'
import { readTable } from '../host/sfdisk.ts'
import type { SlotName } from '../model/boot-state.ts'
import { parseCmdline } from '../model/cmdline.ts'
import { type Layout, type Partition, parseLayout, type Role, slotPartition } from '../model/layout.ts'
import { parseRehearsal, type Rehearsal, rehearsedLayout } from '../model/rehearsal.ts'
import { openFolderMachine } from './folder-machine.ts'
import { type SlotPlace, withMountedSlot } from './slot-partition.ts'

/** A disk with our layout: the one this machine runs from, or an image file or idle disk. */
export interface PineDisk {
  path: string
  live: boolean
  /** A takeover is being rehearsed: the partitions are not in the table of the disk yet. */
  isRehearsal: boolean
  /** Null for a folder machine. */
  layout: Layout | null
  /** Kernel command line of this boot; empty for a disk that does not run. */
  cmdline: Map<string, string>
  /** The caller closes it. */
  open(role: Role, options: { writable: boolean }): Promise<OpenRegion>
  /** The slot whose entries are at the root of the container, where they can be changed, and not in its folder. */
  atRoot: SlotName | null
  /** Both tree slots are on one file system: what they have in common can be there once. */
  sharesSlots: boolean
  /** A tree slot as a folder, for `use`: to be read only, or made anew and empty. */
  withSlotFolder<T>(slot: SlotName, how: 'read' | 'anew', use: (folder: string) => Promise<T>): Promise<T>
  /** What a slot can be given for a tree, or an image. Throws `DISK_IN_USE` where what is in it must stay. */
  slotCapacity(slot: SlotName, kind: 'image' | 'tree'): Promise<Room>
  /** Resolves once all that was written to the slot is on stable storage. */
  flushSlot(slot: SlotName): Promise<void>
}

/** What follows from where the partitions are. */
function withPartitions(
  host: Host,
  disk: Omit<PineDisk, 'open' | SlotVerbs> & { layout: Layout },
  placeOf: (partition: Partition) => SlotPlace,
): PineDisk {
  const open: PineDisk['open'] = (role, { writable }) => {
    const { path, offset, bytes } = placeOf(disk.layout.partitions[role])
    return host.openRegion(path, { offset, bytes, writable })
  }
  return {
    ...disk,
    open,
    atRoot: null,
    sharesSlots: false,
    withSlotFolder: (slot, how, use) =>
      withMountedSlot(host, { place: placeOf(slotPartition(disk.layout, slot)), how }, use),
    async slotCapacity(slot, kind) {
      const { bytes } = slotPartition(disk.layout, slot)
      return kind === 'tree' ? slotFileSystemRoom(bytes) : { bytes, inodes: Number.POSITIVE_INFINITY }
    },
    async flushSlot(slot) {
      const region = await open(`rootfs-${slot}`, { writable: true })
      await region.flush().finally(() => region.close())
    },
  }
}

type SlotVerbs = 'atRoot' | 'sharesSlots' | 'withSlotFolder' | 'slotCapacity' | 'flushSlot'

/** Opens what does not run: a folder, an image file or an idle disk. Throws `NOT_A_PINE_DISK`, `LAYOUT_INVALID`. */
export async function openIdle(host: Host, path: string): Promise<PineDisk> {
  return (await host.kindOf(path)) === 'folder' ? openFolderMachine(host, path) : openDiskImage(host, path)
}

/** Opens an image file or an idle disk. Throws `NOT_A_PINE_DISK`, `LAYOUT_INVALID`. */
export async function openDiskImage(host: Host, path: string): Promise<PineDisk> {
  if ((await host.realPath(path)) === undefined) {
    throw new PineError('FILE_NOT_FOUND', `there is no ${path}`)
  }
  const layout = parseLayout(await readTable(host, path), path)
  const disk = { path, live: false, isRehearsal: false, layout, cmdline: new Map() }
  return withPartitions(host, disk, onDisk(path))
}

/** Where the kernel has no device for each partition. */
function onDisk(path: string): (partition: Partition) => SlotPlace {
  return ({ offset, bytes, uuid }) => ({ path, offset, bytes, uuid })
}

export async function isRehearsal(host: Host): Promise<boolean> {
  return parseRehearsal(await readCmdline(host)) !== undefined
}

export async function readCmdline(host: Host): Promise<PineDisk['cmdline']> {
  return parseCmdline(String((await host.readFile('/proc/cmdline')) ?? ''))
}

/** Finds the disk of the running root file system by the PARTUUID that the loader gave the kernel. */
export async function openLiveDisk(host: Host): Promise<PineDisk> {
  const container = await readContainerCmdline(host)
  if (container !== undefined)
    return { ...(await openFolderMachine(host, CONTAINER)), live: true, cmdline: container }
  const cmdline = await readCmdline(host)
  const rehearsal = parseRehearsal(cmdline)
  if (rehearsal !== undefined) return openRehearsal(host, cmdline, rehearsal)
  const root = /^PARTUUID=(.+)$/.exec(cmdline.get('root') ?? '')?.[1]
  if (root === undefined || !cmdline.has('pine.slot')) {
    throw new PineError('NOT_A_PINE_DISK', 'this machine was not started by a pine-update loader', {
      hint: 'to work on a disk image, add --disk FILE',
    })
  }
  const known = await listPartitions(host)
  const { disk: parent } = soleHolder(known, root)
  const layout = parseLayout(await readTable(host, parent), parent)
  for (const partition of Object.values(layout.partitions)) requireSame(known, parent, partition)
  const disk = { path: parent, live: true, isRehearsal: false, layout, cmdline }
  // By PARTUUID: device names can change between two boots, and between two lines of this program.
  return withPartitions(host, disk, ({ bytes, uuid }) => ({
    path: `/dev/disk/by-partuuid/${uuid}`,
    offset: 0,
    bytes,
    uuid,
  }))
}

/** The partitions are where the kernel was told, in the middle of that of the old system. */
async function openRehearsal(
  host: Host,
  cmdline: PineDisk['cmdline'],
  rehearsal: Rehearsal,
): Promise<PineDisk> {
  const path = await diskWithTable(host, rehearsal.tableId)
  const layout = rehearsedLayout(rehearsal)
  const disk = { path, live: true, isRehearsal: true, layout, cmdline }
  return withPartitions(host, disk, onDisk(path))
}

/** The one partition with that PARTUUID: of two, nobody can say which one the loader reads. */
function soleHolder(known: readonly KnownPartition[], uuid: string): KnownPartition {
  const found = known.filter((partition) => partition.uuid === uuid.toLowerCase())
  const [first, second] = found
  if (first === undefined) {
    throw new PineError('NOT_A_PINE_DISK', `there is no partition with the PARTUUID ${uuid}`, {
      hint: 'is udev running? look at lsblk --output NAME,PARTUUID',
    })
  }
  if (second === undefined) return first
  const paths = found.map(({ path }) => path).join(' and ')
  throw new PineError('DISK_AMBIGUOUS', `${paths} have the same PARTUUID ${uuid}`, {
    hint: 'one disk is a copy of the other: detach it, then run the command again',
  })
}

/** What is opened by its PARTUUID must be what the table of the disk shows. */
function requireSame(
  known: readonly KnownPartition[],
  parent: string,
  { role, uuid, bytes }: Partition,
): void {
  const { path, disk, bytes: found } = soleHolder(known, uuid)
  if (disk === parent && found === bytes) return
  const expected = `${role} with ${bytes} bytes on ${parent}`
  throw new PineError('LAYOUT_INVALID', `${path} has ${found} bytes, the partition table says ${expected}`, {
    hint: 'the kernel has not read the table since it was changed: restart the machine',
  })
}
