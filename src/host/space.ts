import { statfs } from 'node:fs/promises'
import { ioFailed } from './io-error.ts'

/** Bytes that a file system has left for everybody. */
export async function freeBytes(path: string): Promise<number> {
  try {
    const { bavail, bsize } = await statfs(path)
    return bavail * bsize
  } catch (error) {
    throw ioFailed(`cannot look at the file system of ${path}`, error)
  }
}
