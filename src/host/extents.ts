import { type FileHandle, open, rm, statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import { isErrno, PineError } from '../core/error.ts'
import { formatBytes } from '../core/format.ts'
import { openNew } from './files.ts'
import { ioFailed } from './io-error.ts'
import { native } from './native.ts'
import { freeBytes } from './space.ts'

/** A piece of a file that lies in one piece on its file system. In bytes. */
export interface Extent {
  logical: number
  /** From the start of the device of the file system. */
  physical: number
  bytes: number
}

/** What is done to a file so that its blocks can be used as partitions. */
export interface Carving {
  mapExtents(path: string): Promise<Extent[]>
  allocateFile(path: string, bytes: number): Promise<void>
  growFile(path: string, bytes: number): Promise<void>
  punchHole(path: string, offset: number, bytes: number): Promise<void>
  setImmutable(path: string, on: boolean): Promise<void>
  settleFileSystem(path: string): Promise<void>
  fileSystemBytes(path: string): Promise<number>
}

export function realCarving(): Carving {
  return { mapExtents, allocateFile, growFile, punchHole, setImmutable, settleFileSystem, fileSystemBytes }
}

/** linux/fiemap.h: the last one, one that reads as zeros until it is written, one of a file system that maps blocks. */
const HARMLESS = 0x1 | 0x800 | 0x1000
const FLAGS: readonly (readonly [number, string])[] = [
  [0x2, 'somewhere unknown'],
  [0x4, 'not written yet'],
  [0x8, 'encoded'],
  [0x80, 'encrypted'],
  [0x100, 'not in whole blocks'],
  [0x200, 'inside its inode'],
  [0x400, 'in a block with others'],
  [0x2000, 'shared with another file'],
]
const COLUMNS = 4

/**
 * Where a file lies, in the order of the file; what has no blocks is left out. Throws `FILE_NOT_FOUND`, and `CARVE_FAILED`
 * for blocks that are not the file's alone, for good, and as they are. ioctl FS_IOC_FIEMAP
 */
export async function mapExtents(path: string): Promise<Extent[]> {
  const rows = await onFile(path, 'r', 'cannot map', ({ fd }) => native().extents(fd))
  return extentsOf(path, rows)
}

/** `rows` are of four numbers: logical, physical, bytes, flags. */
export function extentsOf(path: string, rows: Float64Array): Extent[] {
  const extents: Extent[] = []
  for (let at = 0; at < rows.length; at += COLUMNS) {
    const [logical = 0, physical = 0, bytes = 0, flags = 0] = rows.subarray(at, at + COLUMNS)
    if ((flags & ~HARMLESS) !== 0) throw unusable(path, logical, flags)
    extents.push({ logical, physical, bytes })
  }
  return extents
}

function unusable(path: string, logical: number, flags: number): PineError {
  const known = FLAGS.filter(([bit]) => (flags & bit) !== 0).map(([, text]) => text)
  const text = known.join(', ') || `of an unknown kind (0x${flags.toString(16)})`
  return new PineError('CARVE_FAILED', `the blocks of ${path} at ${logical} are ${text}`, {
    hint: 'this file system cannot be carved: use "install" on an idle disk',
  })
}

/**
 * A new file, mode 0600, with all its blocks, which read as zeros. Synced. Throws `FILE_EXISTS`, and `CARVE_FAILED` where
 * there is not that much room; then there is no file.
 */
export async function allocateFile(path: string, bytes: number): Promise<void> {
  const file = await openNew(path, 0o600)
  try {
    await allocate(path, file, 0, bytes)
  } catch (error) {
    await rm(path, { force: true })
    throw error
  } finally {
    await file.close()
  }
}

/** Makes a file that long, with blocks for all that is new. Synced. Throws `CARVE_FAILED`, and may have taken some. */
export async function growFile(path: string, bytes: number): Promise<void> {
  await onFile(path, 'r+', 'cannot grow', async (file) => {
    const { size } = await file.stat()
    await allocate(path, file, size, bytes)
  })
}

async function allocate(path: string, file: FileHandle, from: number, to: number): Promise<void> {
  // Asked before: what was taken of it until there was no more is not given back at once.
  const free = await freeBytes(dirname(path))
  try {
    await native().allocate(file.fd, from, to - from)
    await file.sync()
  } catch (cause) {
    if (!isErrno(cause, 'ENOSPC')) throw ioFailed(`cannot allocate ${path}`, cause)
    const text = `no room for ${formatBytes(to - from)} more of ${path}: ${formatBytes(free)} were free`
    throw new PineError('CARVE_FAILED', text, { hint: 'remove something', cause })
  }
}

/** Gives back the whole blocks of that range; the file stays as long as it is. Synced. */
export async function punchHole(path: string, offset: number, bytes: number): Promise<void> {
  await onFile(path, 'r+', 'cannot free blocks of', async (file) => {
    await native().punch(file.fd, offset, bytes)
    await file.sync()
  })
}

/** While on, nobody can write to the file, rename or remove it, and no defragmenter moves it. chattr(1) */
export async function setImmutable(path: string, on: boolean): Promise<void> {
  await onFile(path, 'r', 'cannot set the flags of', ({ fd }) => native().setImmutable(fd, on ? 1 : 0))
}

/**
 * Brings all of the file system of a file or folder to its place on the disk, out of its journal, which GRUB does not read.
 * Others wait meanwhile when they write there.
 */
export async function settleFileSystem(path: string): Promise<void> {
  await onFile(path, 'r', 'cannot settle the file system of', async ({ fd }) => {
    try {
      await native().freezeThaw(fd)
    } catch (error) {
      // It was synced, and without a journal that is all.
      if (!isErrno(error, 'EOPNOTSUPP')) throw error
    }
  })
}

/** Of the whole file system of `path`. */
export async function fileSystemBytes(path: string): Promise<number> {
  try {
    const { blocks, bsize } = await statfs(path)
    return blocks * bsize
  } catch (error) {
    throw ioFailed(`cannot look at the file system of ${path}`, error)
  }
}

async function onFile<T>(
  path: string,
  mode: 'r' | 'r+',
  failed: string,
  use: (file: FileHandle) => Promise<T>,
): Promise<T> {
  try {
    const file = await open(path, mode)
    return await use(file).finally(() => file.close())
  } catch (cause) {
    if (cause instanceof PineError) throw cause
    if (isErrno(cause, 'ENOENT')) throw new PineError('FILE_NOT_FOUND', `there is no ${path}`, { cause })
    throw ioFailed(`${failed} ${path}`, cause)
  }
}
