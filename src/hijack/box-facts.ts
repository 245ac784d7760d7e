import { basename } from 'node:path'
import { isUefi } from '../boot/firmware-variables.ts'
import type { Host } from '../host/host.ts'
import { type BlockDevice, listBlockDevices, stackOf } from './block-devices.ts'
import { isGrubBootSector } from './boot-sector.ts'
import { readBootSector } from './disk-table.ts'
import { modulesUnder } from './drivers.ts'
import { type EfiFacts, readEfiFacts } from './efi-facts.ts'
import { FOLDER } from './journal.ts'
import { type Mount, mountOf, parseMounts } from './mounts.ts'

/** The file system that a folder is on, and what that is on. */
export interface Place {
  mount: Mount
  /** From its device down to the disk; empty where it is on no device. */
  stack: BlockDevice[]
  /** Undefined unless it is a partition and nothing else. */
  partition: PartitionPlace | undefined
}

export interface PartitionPlace {
  path: string
  /** What is on it, such as `ext4`; may be empty. */
  fs: string
  /** Of the disk. */
  disk: string
  number: number
  offset: number
  bytes: number
}

export interface GrubFacts {
  /** Its configuration reads custom.cfg, where the entry of the rehearsal goes. */
  readsCustom: boolean
  /** Of the modules that the entry needs. */
  missing: string[]
  /** Where they are, below /boot/grub. */
  platform: 'i386-pc' | 'x86_64-efi'
  /** The first sector of the disk is GRUB's. */
  inBootSector: boolean
}

/** What can be known of a running machine before anything of it is changed. */
export interface BoxFacts {
  /** What it runs in, such as `lxc`; empty for a machine with a kernel of its own. */
  container: string
  /** Undefined where the machine was started by BIOS. */
  efi: EfiFacts | undefined
  /** As uname(1) says. */
  machine: string
  memoryBytes: number
  root: Place
  /** What /boot/grub is on. */
  boot: Place
  /** That the root is on; undefined unless it is on a plain partition. */
  disk: BlockDevice | undefined
  /** All of that disk, the root among them. */
  partitions: PartitionPlace[]
  /** Other disks whose table says that they are that disk. */
  twins: string[]
  /** What names partitions of that disk by PARTUUID: files, or the kernel command line. */
  byPartuuid: string[]
  grub: GrubFacts
  /** Kernel modules without which the disk, or the network, is not there. */
  diskModules: string[]
  networkModules: string[]
  /** With what an earlier takeover has left: it is cleared away before there is another. */
  freeBytes: number
  /** It was started by a loader of pine-update. */
  isOurs: boolean
  now: Date
}

export const GRUB = '/boot/grub'

/** Looks; changes nothing. */
export async function readBoxFacts(host: Host): Promise<BoxFacts> {
  const devices = await listBlockDevices(host)
  const mounts = parseMounts(await text(host, '/proc/self/mountinfo'))
  const place = (path: string) => placeOf(host, devices, mountOf(mounts, path))
  const [root, boot] = [await place('/'), await place(GRUB)]
  const disk = devices.get(root.partition?.disk ?? '')
  const around = { devices, mounts, disk: disk?.path, boot }
  const container = await containerOf(host)
  const efi = container === '' && (await isUefi(host)) ? await readEfiFacts(host, around) : undefined
  return {
    container,
    efi,
    machine: (await host.exec('uname', ['--machine'])).trim(),
    memoryBytes: await memoryOf(host),
    ...{ root, boot, disk, partitions: await partitionsOf(host, devices, disk) },
    twins: twinsOf(devices, disk),
    byPartuuid: await namingByPartuuid(host, disk),
    grub: await readGrubFacts(host, disk, efi === undefined ? 'i386-pc' : 'x86_64-efi'),
    diskModules:
      disk === undefined ? [] : await modulesUnder(host, `/sys/class/block/${basename(disk.path)}`),
    networkModules: await networkModulesOf(host),
    freeBytes: (await host.freeBytes('/')) + (await leftBytes(host)),
    isOurs: / pine\.slot=[ab]\b/.test(` ${await text(host, '/proc/cmdline')}`),
    now: host.now(),
  }
}

async function leftBytes(host: Host): Promise<number> {
  if ((await host.kindOf(FOLDER)) === undefined) return 0
  return Number.parseInt(await host.exec('du', ['--summarize', '--block-size=1', FOLDER]), 10)
}

async function text(host: Host, path: string): Promise<string> {
  return (await host.readFile(path))?.toString() ?? ''
}

async function placeOf(
  host: Host,
  devices: ReadonlyMap<string, BlockDevice>,
  mount: Mount | undefined,
): Promise<Place> {
  if (mount === undefined) throw new Error('nothing is mounted at /')
  const { source } = mount
  // What the device mapper made goes by its name; links of udev lead to a device.
  const path = devices.has(source) ? source : ((await host.realPath(source)) ?? source)
  const stack = stackOf(devices, path)
  const [device, below] = stack
  const isPlain = stack.length === 2 && device?.type === 'part' && below?.type === 'disk'
  return { mount, stack, partition: isPlain ? await partitionOf(host, device, below) : undefined }
}

async function partitionsOf(
  host: Host,
  devices: ReadonlyMap<string, BlockDevice>,
  disk: BlockDevice | undefined,
): Promise<PartitionPlace[]> {
  if (disk === undefined) return []
  const own = [...devices.values()].filter(
    ({ type, parents }) => type === 'part' && parents.includes(disk.path),
  )
  const places: PartitionPlace[] = []
  for (const device of own) places.push(await partitionOf(host, device, disk))
  return places
}

/** /sys counts in units of 512 bytes, whatever the sectors of the disk. */
async function partitionOf(host: Host, device: BlockDevice, disk: BlockDevice): Promise<PartitionPlace> {
  const sys = `/sys/class/block/${basename(device.path)}`
  const number = async (name: string) => Number(await text(host, `${sys}/${name}`))
  const [index, start] = [await number('partition'), await number('start')]
  const { path, fs, bytes } = device
  return { path, fs, disk: disk.path, number: index, offset: start * 512, bytes }
}

function twinsOf(devices: ReadonlyMap<string, BlockDevice>, disk: BlockDevice | undefined): string[] {
  if (disk === undefined || disk.tableId === '') return []
  // Of a partition lsblk says in which table it is.
  const others = [...devices.values()].filter(({ path, type }) => type === 'disk' && path !== disk.path)
  return others.filter(({ tableId }) => tableId === disk.tableId).map(({ path }) => path)
}

const NAMING: Readonly<Record<string, string>> = {
  'the command line of the kernel': '/proc/cmdline',
  '/etc/fstab': '/etc/fstab',
  '/etc/crypttab': '/etc/crypttab',
}

/** PARTUUIDs of an MBR: its signature, and a number. Of a GPT no partition is called so. */
async function namingByPartuuid(host: Host, disk: BlockDevice | undefined): Promise<string[]> {
  if (disk === undefined || disk.tableId === '') return []
  const found: string[] = []
  for (const [name, path] of Object.entries(NAMING)) {
    const lines = (await text(host, path)).toLowerCase().split('\n')
    const inUse = lines.filter((line) => !line.trimStart().startsWith('#'))
    if (inUse.some((line) => /partuuid/.test(line) && line.includes(`${disk.tableId}-`))) found.push(name)
  }
  return found
}

/** systemd(1), "container"; OpenVZ has /proc/vz, and its host /proc/bc as well. */
async function containerOf(host: Host): Promise<string> {
  const named = await text(host, '/run/systemd/container')
  if (named !== '') return named.trim()
  // Root of a container may not be allowed to read it.
  const environment = await text(host, '/proc/1/environ').catch(() => '')
  const variable = /(?:^|\0)container=([^\0]+)/.exec(environment)?.[1]
  if (variable !== undefined) return variable
  const isOpenVz =
    (await host.kindOf('/proc/vz')) !== undefined && (await host.kindOf('/proc/bc')) === undefined
  return isOpenVz ? 'openvz' : ''
}

/** What the machine has, since GRUB and the new kernel have all of it; only root sees more than what this kernel leaves. */
async function memoryOf(host: Host): Promise<number> {
  const left = /^MemTotal:\s+(\d+) kB$/m.exec(await text(host, '/proc/meminfo'))?.[1] ?? 0
  const ranges = (await text(host, '/proc/iomem')).matchAll(/^([\da-f]+)-([\da-f]+) : System RAM$/gm)
  const sizes = [...ranges].map(
    ([, from = '', to = '']) => Number.parseInt(to, 16) - Number.parseInt(from, 16) + 1,
  )
  const all = sizes.reduce((total, bytes) => total + bytes, 0)
  return Math.max(all, Number(left) * 1024)
}

async function networkModulesOf(host: Host): Promise<string[]> {
  const links = await host.listFolder('/sys/class/net')
  const modules: string[] = []
  for (const link of links) modules.push(...(await modulesUnder(host, `/sys/class/net/${link}`)))
  return [...new Set(modules)]
}

/** What the entry of the rehearsal uses; see `withEntry`. */
const ENTRY_MODULES = ['loopback', 'squash4', 'ext2', 'gzio', 'xzio', 'search_fs_uuid', 'linux']

async function readGrubFacts(
  host: Host,
  disk: BlockDevice | undefined,
  platform: GrubFacts['platform'],
): Promise<GrubFacts> {
  const there = new Set(await host.listFolder(`${GRUB}/${platform}`))
  return {
    platform,
    readsCustom: (await text(host, `${GRUB}/grub.cfg`)).includes('custom.cfg'),
    missing: ENTRY_MODULES.filter((name) => !there.has(`${name}.mod`)),
    inBootSector: disk !== undefined && isGrubBootSector(await readBootSector(host, disk.path)),
  }
}
