import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type CoreImage, embedCore, makeCoreImage } from '../../src/boot/grub-core.ts'
import { newBootSector } from '../../src/hijack/boot-sector.ts'
import type { EfiFacts } from '../../src/hijack/efi-facts.ts'
import type { Carving } from '../../src/host/extents.ts'
import type { Host } from '../../src/host/host.ts'
import { realHost } from '../../src/host/real-host.ts'
import { fillRoot, run } from './box-files.ts'
import { carvingIn, hostIn } from './box-host.ts'
import {
  BIOS_BOOT,
  DEBIAN,
  endsOf,
  MIB,
  makeDisk,
  parse,
  readAt,
  SECTOR,
  sfdiskTable,
  writePieces,
} from './gpt-disk.ts'
import { withoutRoot } from './old-root.ts'

/** A server that somebody else set up: a disk with its loader and its root, which is mounted here. */
export interface Box {
  disk: string
  /** Where its / is mounted. */
  folder: string
  /** The machine as a program on it sees it, as far as a takeover looks. */
  host: Host
  carving: Carving
  /** Its loader, and ours; they differ. */
  loaders: Loaders
  /** Of one that was started by UEFI. */
  efi?: EfiFacts
  close(): void
}

interface Loaders {
  old: CoreImage
  ours: CoreImage
}

const DISK_BYTES = 512 * MIB
export const CORE_LBA = 2048

export function withoutBox(): string | undefined {
  const tools = ['sfdisk', 'grub-mkimage', 'grub-fstest', 'grub-editenv', 'mksquashfs', 'e2fsck']
  const missing = tools.find((tool) => spawnSync(tool, ['--version']).error !== undefined)
  return withoutRoot('ext4') ?? (missing && `${missing} is not installed`)
}

let made: Promise<Loaders> | undefined

async function makeLoaders(): Promise<Loaders> {
  const [old, ours] = [await makeCoreImage(realHost(), { sleepSeconds: 7 }), await makeCoreImage(realHost())]
  return { old, ours }
}

/**
 * As Debian's installer leaves it, with GRUB at the start of its own partition, and with an MBR right behind it. `script` is for
 * sfdisk; the largest partition is the root.
 */
export async function makeBox(script = DEBIAN): Promise<Box> {
  made ??= makeLoaders()
  const loaders = await made
  const dir = mkdtempSync(join(tmpdir(), 'pine-box-'))
  const disk = join(dir, 'disk')
  makeDisk(disk, script, DISK_BYTES)
  const coreLba = hasMbr(disk) ? 1 : CORE_LBA
  const { bootCode, core } = embedCore(loaders.old, { coreLba, availableBytes: MIB })
  writePieces(disk, [
    { offset: 0, bytes: newBootSector(readAt(disk, 0, SECTOR), bootCode) },
    { offset: coreLba * SECTOR, bytes: core },
  ])
  const box = mountBox(dir, loaders, (device) => run('mkfs.ext4', ['-q', ...FORMAT, device]))
  fillRoot(box.folder)
  run('sync', ['--file-system', box.folder, join(box.folder, 'boot')])
  return box
}

/** Nothing is written to it later that nobody asked for. */
const FORMAT = ['-E', 'lazy_itable_init=0,lazy_journal_init=0']

/** What is on the disk when the power goes, started again: all else is lost. */
export function copyBox({ disk, loaders }: Pick<Box, 'disk' | 'loaders'>): Box {
  const dir = mkdtempSync(join(tmpdir(), 'pine-box-'))
  run('cp', ['--sparse=always', disk, join(dir, 'disk')])
  return mountBox(dir, loaders)
}

function mountBox(dir: string, loaders: Loaders, prepare: (device: string) => void = () => undefined): Box {
  const [disk, folder] = [join(dir, 'disk'), join(dir, 'root')]
  const undo: (() => void)[] = [() => rmSync(dir, { recursive: true })]
  const close = (): void => {
    for (const each of undo.splice(0).reverse()) each()
  }
  const mount = ({ offset, bytes }: Place, at: string): void => {
    const where = ['--offset', String(offset), '--sizelimit', String(bytes)]
    const device = run('losetup', ['--find', '--show', ...where, disk]).trim()
    undo.push(() => run('losetup', ['--detach', device]))
    prepare(device)
    mkdirSync(at, { recursive: true })
    // Its journal is written when somebody syncs, not because time has passed: a copy of the disk is of one moment.
    run('mount', ['-o', 'commit=600', device, at])
    undo.push(() => run('umount', ['--lazy', at]))
  }
  try {
    mount(rootOf(disk), folder)
    const boot = bootOf(disk)
    if (boot !== undefined) mount(boot, join(folder, 'boot'))
  } catch (error) {
    close()
    throw error
  }
  const places = { folder, disk }
  return { ...places, host: hostIn(places, loaders.ours), carving: carvingIn(places), loaders, close }
}

/** A disk on which /boot has a partition of its own. */
export const WITH_BOOT = `label: gpt
start=1MiB, size=1MiB, type=${BIOS_BOOT}
start=2MiB, size=440MiB
start=442MiB, size=32MiB, name=boot
`

/** One on which / is a logical partition. */
export const WITH_MBR = `label: dos
start=1MiB, size=4MiB, type=82, bootable
start=5MiB, size=480MiB, type=5
start=6MiB, size=8MiB, type=83
start=16MiB, size=460MiB, type=83
`

interface Place {
  number: number
  offset: number
  bytes: number
}

/** The first sector holds the table itself. */
export function hasMbr(disk: string): boolean {
  return readAt(disk, 450, 1)[0] !== 0xee
}

/** The partition of the old root: before and after a commit. */
export function rootOf(disk: string): Place {
  const [root] = placesOn(disk).sort((one, other) => other.bytes - one.bytes)
  if (root === undefined) throw new Error(`${disk} has no partition`)
  return root
}

/** Undefined where /boot is in it. */
export function bootOf(disk: string): Place | undefined {
  const entry = hasMbr(disk) ? undefined : parse(endsOf(disk)).entries.find(({ name }) => name === 'boot')
  return placesOn(disk).find(({ number }) => number === entry?.number)
}

const EXTENDED = '5'

function placesOn(disk: string): Place[] {
  if (!hasMbr(disk))
    return parse(endsOf(disk)).entries.map((entry) => placeOf(entry.number, entry.firstLba, entry.lastLba))
  const { partitions } = sfdiskTable(disk)
  return partitions
    .filter(({ type }) => type !== EXTENDED)
    .map(({ node, start, size }) => placeOf(Number(node.slice(disk.length)), start, start + size - 1))
}

function placeOf(number: number, firstLba: number, lastLba: number): Place {
  return { number, offset: firstLba * SECTOR, bytes: (lastLba + 1 - firstLba) * SECTOR }
}

/** As libblkid says: by it a disk is found. */
export function tableIdOf(disk: string): string {
  return hasMbr(disk) ? sfdiskTable(disk).id.replace('0x', '') : parse(endsOf(disk)).diskGuid
}

/** All of the disk that is not the old root: both copies of the table, the boot sector, the partition of GRUB. */
export function aroundRoot(disk: string): Buffer {
  const { offset, bytes } = rootOf(disk)
  const end = offset + bytes
  return Buffer.concat([readAt(disk, 0, offset), readAt(disk, end, DISK_BYTES - end)])
}
