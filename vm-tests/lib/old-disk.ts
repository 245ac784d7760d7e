import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  closeSync,
  mkdirSync,
  openSync,
  rmdirSync,
  rmSync,
  statfsSync,
  truncateSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { seededRandom } from '../../test/power-cut/random.ts'
import type { Firmware } from './qemu.ts'

/** The disk of a machine that somebody rents. */
export interface OldDisk {
  firmware: Firmware
  /** `dos` with a swap partition in an extended one, as Debian's installer makes it. */
  table: 'gpt' | 'dos'
  fs: 'ext4' | 'xfs'
  diskMiB: number
  /** How full the root is. */
  fullPercent: number
  /** What is free is in pieces of some MiB. */
  isScattered: boolean
}

const MIB = 1024 ** 2
const ROOT_UUID = 'f5b9a2a4-6c0d-4c63-a2ff-0d5e0f1c0a11'
const ESP_ID = '0DD0EF11'
const SWAP_MIB = 64

interface Root {
  /** Its partition. */
  number: number
  startMiB: number
  endMiB: number
}

/** The last MiB is for the second copy of a GPT. */
function rootOf({ table, firmware, diskMiB }: OldDisk): Root {
  const end = diskMiB - 1
  if (table === 'dos') return { number: 1, startMiB: 1, endMiB: end - SWAP_MIB }
  return { number: 2, startMiB: firmware === 'bios' ? 2 : 65, endMiB: end }
}

/** For sfdisk. */
function tableOf(disk: OldDisk): string {
  const { startMiB, endMiB } = rootOf(disk)
  const root = `start=${startMiB}MiB, size=${endMiB - startMiB}MiB`
  if (disk.table === 'dos') {
    const size = `size=${SWAP_MIB}MiB`
    const swap = `size=${SWAP_MIB - 1}MiB`
    return `label: dos\n1: ${root}, bootable\n2: start=${endMiB}MiB, ${size}, type=5\n5: start=${endMiB + 1}MiB, ${swap}, type=82\n`
  }
  const type =
    disk.firmware === 'bios' ? '21686148-6449-6E6F-744E-656564454649' : 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B'
  return `label: gpt\nstart=1MiB, size=${startMiB - 1}MiB, type=${type}\n${root}\n`
}

export function rootDeviceOf(disk: OldDisk): string {
  return `/dev/vda${rootOf(disk).number}`
}

/** In bytes of the disk. */
export function rootPlaceOf(disk: OldDisk): { offset: number; bytes: number } {
  const { startMiB, endMiB } = rootOf(disk)
  return { offset: startMiB * MIB, bytes: (endMiB - startMiB) * MIB }
}

/** For /etc/fstab. */
export function mountsOf({ fs, firmware }: OldDisk): string {
  const root = `UUID=${ROOT_UUID} / ${fs} defaults 0 1\n`
  const esp = `UUID=${ESP_ID.slice(0, 4)}-${ESP_ID.slice(4)} /boot/efi vfat umask=0077 0 1\n`
  return firmware === 'uefi' ? root + esp : root
}

/** With the files of `tree` in its root; nothing starts from it yet. */
export function makeOldDisk(disk: OldDisk, tree: string, path: string): void {
  const { startMiB, endMiB } = rootOf(disk)
  sparse(path, disk.diskMiB)
  execFileSync('sfdisk', ['--quiet', path], { input: tableOf(disk), stdio: 'pipe' })
  if (disk.firmware === 'uefi') {
    sparse(`${path}.esp`, startMiB - 1)
    run('mkfs.vfat', '-F', '32', '-i', ESP_ID, `${path}.esp`)
    copyInto(path, `${path}.esp`, 1)
  }
  if (disk.table === 'dos') {
    sparse(`${path}.swap`, SWAP_MIB - 1)
    run('mkswap', `${path}.swap`)
    copyInto(path, `${path}.swap`, endMiB + 1)
  }
  sparse(`${path}.root`, endMiB - startMiB)
  makeRoot(disk, tree, `${path}.root`)
  copyInto(path, `${path}.root`, startMiB)
}

function makeRoot(disk: OldDisk, tree: string, path: string): void {
  if (disk.fs === 'xfs') run('mkfs.xfs', '-q', '-m', `uuid=${ROOT_UUID}`, path)
  else run('mke2fs', '-q', '-t', 'ext4', '-L', 'old', '-U', ROOT_UUID, path)
  const at = `${path}.mounted`
  mkdirSync(at)
  run('mount', '-o', 'loop', path, at)
  try {
    run('cp', '-a', `${tree}/.`, at)
    fill(disk, at)
  } finally {
    run('umount', at)
    rmdirSync(at)
  }
}

const PIECE_MIB = 4

/** With random bytes, which no two of these files share: in one piece, or so that what stays free is between them. */
function fill({ fullPercent, isScattered }: OldDisk, root: string): void {
  const folder = join(root, 'srv/ballast')
  mkdirSync(folder)
  const usedMiB = () => {
    const { blocks, bfree, bsize } = statfsSync(root)
    return { used: ((blocks - bfree) * bsize) / MIB, total: (blocks * bsize) / MIB }
  }
  const { used, total } = usedMiB()
  const until = (isScattered ? 0.94 : fullPercent / 100) * total
  const count = Math.floor((until - used) / PIECE_MIB)
  const names = Array.from({ length: Math.max(0, count) }, (_, index) => join(folder, `${index}`))
  for (const name of names) writeRandom(name)
  const random = seededRandom(1)
  while (isScattered && names.length > 0 && usedMiB().used > (fullPercent / 100) * total) {
    const [name = ''] = names.splice(random.below(names.length), 1)
    rmSync(name)
  }
}

function writeRandom(path: string): void {
  const file = openSync(path, 'w')
  writeSync(file, randomBytes(PIECE_MIB * MIB))
  closeSync(file)
}

function sparse(path: string, mib: number): void {
  closeSync(openSync(path, 'w'))
  truncateSync(path, mib * MIB)
}

function copyInto(disk: string, part: string, startMiB: number): void {
  const how = ['bs=1M', `seek=${startMiB}`, 'conv=sparse,notrunc', 'status=none']
  run('dd', `if=${part}`, `of=${disk}`, ...how)
  rmSync(part)
}

function run(command: string, ...args: string[]): void {
  execFileSync(command, args, { stdio: ['ignore', 'ignore', 'inherit'] })
}
