import { statfs } from 'node:fs/promises'
import { ioFailed } from './io-error.ts'

/** Files and folders that a file system can still take; infinite where it makes inodes as it goes, as btrfs does. */
export async function freeInodes(path: string): Promise<number> {
  try {
    const { files, ffree } = await statfs(path)
    return files === 0 ? Number.POSITIVE_INFINITY : ffree
  } catch (error) {
    throw ioFailed(`cannot look at the file system of ${path}`, error)
  }
}

/** Bytes that a file system has left for everybody. */
export async function freeBytes(path: string): Promise<number> {
  try {
    const { bavail, bsize } = await statfs(path)
    return bavail * bsize
  } catch (error) {
    throw ioFailed(`cannot look at the file system of ${path}`, error)
  }
}
