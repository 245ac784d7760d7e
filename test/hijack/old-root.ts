import { execFileSync, spawnSync } from 'node:child_process'
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  statfsSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { native } from '../../src/host/native.ts'

export const MiB = 1024 * 1024

export type RootFs = 'ext4' | 'xfs'

/** A mounted root file system in a partition of a disk, which is a sparse file. */
export interface OldRoot {
  folder: string
  disk: string
  /** Of the file system. */
  device: string
  /** The partition, on the disk. */
  partitionOffset: number
  limit: number
  /** Makes and removes files until that share of it is used, and what is free is in pieces. */
  age(used: number): Promise<void>
  freeBytes(): number
  readDisk(offset: number, bytes: number): Buffer
  writeDisk(offset: number, content: Uint8Array): void
  mount(): void
  unmount(): void
  /** What fsck says of it, unmounted; undefined where it is clean. */
  findDamage(): string | undefined
  close(): void
}

/** Why there is none here; undefined where it works. */
export function withoutRoot(fs: RootFs): string | undefined {
  if (process.getuid?.() !== 0) return 'mounting needs root'
  if (spawnSync(`mkfs.${fs}`, ['-V']).error !== undefined) return `mkfs.${fs} is not installed`
  if (spawnSync('losetup', ['--find']).status !== 0) return 'there is no free loop device'
  const known = execFileSync('cat', ['/proc/filesystems'], { encoding: 'utf8' })
  const canMount = known.includes(`\t${fs}\n`) || spawnSync('modprobe', [fs]).status === 0
  return canMount ? undefined : `this kernel cannot mount ${fs}`
}

interface OldRootOptions {
  bytes?: number
  /** Of the partition. */
  offset?: number
  /** Arguments for mkfs. */
  made?: readonly string[]
}

export function openOldRoot(fs: RootFs, options: OldRootOptions = {}): OldRoot {
  const { bytes = 1024 * MiB, offset = MiB, made = [] } = options
  const dir = mkdtempSync(join(tmpdir(), 'pine-old-root-'))
  const [disk, folder] = [join(dir, 'disk'), join(dir, 'root')]
  writeFileSync(disk, '')
  truncateSync(disk, offset + bytes + MiB)
  mkdirSync(folder)
  const where = ['--offset', String(offset), '--sizelimit', String(bytes)]
  const device = run('losetup', ['--find', '--show', ...where, disk]).trim()
  let isMounted = false
  const mount = (): void => {
    run('mount', [device, folder])
    isMounted = true
  }
  const unmount = (): void => {
    run('umount', [folder])
    isMounted = false
  }
  const close = (): void => {
    if (isMounted) run('umount', ['--lazy', folder])
    run('losetup', ['--detach', device])
    rmSync(dir, { recursive: true })
  }
  try {
    run(`mkfs.${fs}`, ['-q', ...made, device])
    mount()
  } catch (error) {
    close()
    throw error
  }
  return {
    folder,
    disk,
    device,
    partitionOffset: offset,
    limit: offset + bytes,
    age: (used) => age(folder, used),
    freeBytes: () => freeOf(folder),
    readDisk: (at, count) => onDisk(disk, 'r', (fd) => readAt(fd, at, count)),
    writeDisk: (at, content) =>
      onDisk(disk, 'r+', (fd) => void writeSync(fd, content, 0, content.length, at)),
    mount,
    unmount,
    findDamage: () => damageOf(fs, device),
    close,
  }
}

function onDisk<T>(disk: string, mode: 'r' | 'r+', use: (fd: number) => T): T {
  const fd = openSync(disk, mode)
  try {
    return use(fd)
  } finally {
    closeSync(fd)
  }
}

function readAt(fd: number, at: number, count: number): Buffer {
  const found = Buffer.alloc(count)
  readSync(fd, found, 0, count, at)
  return found
}

function damageOf(fs: RootFs, device: string): string | undefined {
  const [tool, args] = fs === 'ext4' ? ['e2fsck', ['-f', '-n']] : ['xfs_repair', ['-n']]
  const ran = spawnSync(tool, [...args, device], { encoding: 'utf8' })
  return ran.status === 0 ? undefined : ran.stdout + ran.stderr
}

/** Files of all sizes in forty folders, one in five of which goes again. */
async function age(folder: string, used: number): Promise<void> {
  const random = numbers(7)
  const files: { path: string; bytes: number }[] = []
  const tooMuch = (share: number): number => {
    const { blocks, bavail, bsize } = statfsSync(folder)
    return ((1 - share) * blocks - bavail) * bsize
  }
  for (let index = 0; tooMuch(used + 0.05) < 0; index++) {
    const path = `${folder}/d${index % 40}/f${index}`
    mkdirSync(join(path, '..'), { recursive: true })
    const bytes = 4096 + Math.floor(random() * (random() < 0.9 ? MiB : 16 * MiB))
    await makeFile(path, bytes)
    files.push({ path, bytes })
  }
  // Asked once: xfs counts what was removed as used for a while.
  for (let left = tooMuch(used); left > 0; ) {
    const [file] = files.splice(Math.floor(random() * files.length), 1)
    if (file === undefined) throw new Error(`${folder} cannot become that empty`)
    rmSync(file.path)
    left -= file.bytes
  }
}

/** Takes its blocks, and writes nothing. */
export async function makeFile(path: string, bytes: number): Promise<void> {
  const fd = openSync(path, 'w')
  await native().allocate(fd, 0, bytes)
  closeSync(fd)
}

/** From 0 up to 1, the same each time. */
function numbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

function freeOf(folder: string): number {
  const { bavail, bsize } = statfsSync(folder)
  return bavail * bsize
}

function run(command: string, args: readonly string[]): string {
  return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}
