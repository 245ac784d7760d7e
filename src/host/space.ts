import { statfs } from 'node:fs/promises'

/** Bytes that a file system has left for everybody. */
export async function freeBytes(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path)
  return bavail * bsize
}
