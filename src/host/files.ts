import { rmSync } from 'node:fs'
import {
  type FileHandle,
  mkdtemp,
  rename as move,
  open,
  readFile as read,
  readdir,
  realpath,
  rm,
  stat,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { isErrno, PineError } from '../core/error.ts'
import type { FileKind, OutputFile } from './host.ts'
import { ioFailed } from './io-error.ts'

/** Undefined where there is no such file. */
export async function readFile(path: string): Promise<Buffer | undefined> {
  return failing('read', path, () => unlessMissing(read(path), ['ENOENT', 'ENOTDIR']))
}

/** The target of a symbolic link chain; undefined where there is nothing. */
export async function realPath(path: string): Promise<string | undefined> {
  return failing('resolve', path, () => unlessMissing(realpath(path), ['ENOENT']))
}

/** Names in a folder, sorted; empty where there is no such folder. */
export async function listFolder(path: string): Promise<string[]> {
  const names = await failing('list', path, () => unlessMissing(readdir(path), ['ENOENT']))
  return (names ?? []).sort()
}

/** Undefined where there is nothing. */
export async function kindOf(path: string): Promise<FileKind | undefined> {
  const found = await failing('look at', path, () => unlessMissing(stat(path), ['ENOENT', 'ENOTDIR']))
  if (found === undefined) return undefined
  if (found.isDirectory()) return 'folder'
  if (found.isBlockDevice()) return 'device'
  return found.isFile() ? 'file' : 'other'
}

/** Does nothing where there is no such file. */
export async function removeFile(path: string): Promise<void> {
  await failing('remove', path, () => rm(path, { force: true }))
}

/** Makes a file of that length that takes no space yet. Throws `FILE_EXISTS` where the path is taken. */
export async function createSparse(path: string, bytes: number): Promise<void> {
  const file = await openNew(path)
  try {
    await failing('create', path, () => file.truncate(bytes))
  } catch (error) {
    await rm(path, { force: true })
    throw error
  } finally {
    await file.close()
  }
}

/** For writing; throws `FILE_EXISTS` where the path is taken. */
export async function openNew(path: string, mode = 0o666): Promise<FileHandle> {
  try {
    return await open(path, 'wx', mode)
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw ioFailed(`cannot create ${path}`, error)
    throw new PineError('FILE_EXISTS', `${path} is there already`, {
      hint: 'remove it, or give another name',
      cause: error,
    })
  }
}

/** Opens a new file to be written in order; one that is there is emptied. */
export async function createFile(path: string): Promise<OutputFile> {
  const file = await failing('create', path, () => open(path, 'w'))
  return {
    append: (bytes) => failing('write', path, () => file.writeFile(bytes)),
    sync: () => failing('sync', path, () => file.sync()),
    close: () => failing('close', path, () => file.close()),
  }
}

export async function rename(from: string, to: string): Promise<void> {
  await failing('rename to', to, () => move(from, to))
}

async function unlessMissing<T>(found: Promise<T>, codes: readonly string[]): Promise<T | undefined> {
  try {
    return await found
  } catch (error) {
    if (codes.some((code) => isErrno(error, code))) return undefined
    throw error
  }
}

async function failing<T>(verb: string, path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action()
  } catch (error) {
    throw ioFailed(`cannot ${verb} ${path}`, error)
  }
}

/** Writes whole: temporary file in the same folder, sync, rename, sync the folder. */
export async function replaceFile(path: string, content: string | Uint8Array, mode = 0o644): Promise<void> {
  const partial = `${path}.partial-${process.pid}`
  try {
    const file = await open(partial, 'w', mode)
    try {
      await file.writeFile(content)
      await file.sync()
    } finally {
      await file.close()
    }
    await move(partial, path)
  } catch (error) {
    // What went wrong first is what matters.
    await rm(partial, { force: true }).catch(() => undefined)
    throw ioFailed(`cannot write ${path}`, error)
  }
  // A crash before this leaves the old file; the rename itself is atomic.
  await failing('sync the folder of', path, () => syncFolder(dirname(path)))
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

/**
 * Runs `use` with a fresh folder, and removes it whatever happens, the end of the process included. For what can be large
 * give the folder of the result as `parent`: the default is often memory.
 */
export async function withTempDir<T>(use: (dir: string) => Promise<T>, parent = tmpdir()): Promise<T> {
  const dir = await failing('make a folder in', parent, () => mkdtemp(join(parent, 'pine-update-')))
  // A program that is being ended may still write there.
  const remove = (): void => rmSync(dir, { recursive: true, force: true, maxRetries: 3 })
  process.once('exit', remove)
  try {
    return await use(dir)
  } finally {
    process.off('exit', remove)
    await failing('remove', dir, () => rm(dir, { recursive: true, force: true }))
  }
}
