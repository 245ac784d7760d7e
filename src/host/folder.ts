import type { Dirent, Stats } from 'node:fs'
import { lstat, mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Room } from '../core/room.ts'
import { ioFailed } from './io-error.ts'
import { native } from './native.ts'

/** Makes a folder where there is none, and those above it. */
export async function makeFolder(path: string, mode = 0o755): Promise<void> {
  await failing(path, () => mkdir(path, { recursive: true, mode }))
}

/** Removes all that is in a folder; the folder stays. */
export async function emptyFolder(path: string): Promise<void> {
  await failing(path, async () => {
    for (const name of await readdir(path)) await rm(join(path, name), { recursive: true, force: true })
  })
}

export async function removeFolder(path: string): Promise<void> {
  await failing(path, () => rm(path, { recursive: true, force: true }))
}

export async function moveFolder(from: string, to: string): Promise<void> {
  await failing(to, () => rename(from, to))
}

/** What would be free without the folder: a file that also has a name elsewhere would stay. */
export async function occupiedRoom(path: string): Promise<Room> {
  const links = new Map<number, { names: number; found: Stats }>()
  let [blocks, inodes] = [0, 0]
  const count = (found: Stats): void => {
    blocks += found.blocks
    inodes += 1
  }
  await failing(path, async () => {
    for await (const entry of entriesBelow(path)) {
      const found = await lstat(entry.path)
      if (found.nlink === 1 || found.isDirectory()) count(found)
      else links.set(found.ino, { names: (links.get(found.ino)?.names ?? 0) + 1, found })
    }
  })
  for (const { names, found } of links.values()) if (names === found.nlink) count(found)
  return { bytes: blocks * BLOCK_BYTES, inodes }
}

/** Of `st_blocks`, stat(2). */
const BLOCK_BYTES = 512

/** Asks the kernel to forget what it has cached of the files in a folder, so that the next read comes from the device. */
export async function dropFolderCache(path: string): Promise<void> {
  await failing(path, async () => {
    for await (const entry of entriesBelow(path)) {
      if (!entry.isFile()) continue
      const file = await open(entry.path, 'r')
      try {
        native().fadvise(file.fd)
      } finally {
        await file.close()
      }
    }
  })
}

type Entry = { path: string } & Pick<Dirent, 'isFile'>

async function* entriesBelow(path: string): AsyncGenerator<Entry, void, undefined> {
  for (const entry of await readdir(path, { withFileTypes: true })) {
    const below = join(path, entry.name)
    yield { path: below, isFile: () => entry.isFile() }
    if (entry.isDirectory()) yield* entriesBelow(below)
  }
}

async function failing<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action()
  } catch (error) {
    throw ioFailed(`cannot work on ${path}`, error)
  }
}
