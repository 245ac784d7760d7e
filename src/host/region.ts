import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { isErrno, PineError } from '../core/error.ts'
import type { OpenRegion } from '../core/region.ts'
import type { OpenRegionOptions } from './host.ts'
import { ioFailed } from './io-error.ts'
import { lockIdOf } from './lock-holder.ts'
import { native } from './native.ts'

/**
 * Opens an existing file or block device; never creates or truncates, so that a missing device node cannot
 * become a regular file.
 */
export async function openRegion(path: string, options: OpenRegionOptions = {}): Promise<OpenRegion> {
  const file = await openExisting(path, options.writable ?? false)
  try {
    const available = native().deviceBytes(file.fd)
    const offset = options.offset ?? 0
    const bytes = options.bytes ?? available - offset
    if (offset < 0 || bytes < 0 || offset + bytes > available) {
      throw new PineError('DISK_TOO_SMALL', `${path} has ${available} bytes, ${offset + bytes} are needed`)
    }
    return regionOf(file, { name: offset === 0 ? path : `${path} at ${offset}`, offset, bytes })
  } catch (error) {
    await file.close()
    throw error
  }
}

async function openExisting(path: string, writable: boolean): Promise<FileHandle> {
  try {
    return await open(path, (writable ? constants.O_RDWR : constants.O_RDONLY) | constants.O_NOCTTY)
  } catch (error) {
    if (isErrno(error, 'ENOENT')) {
      throw new PineError('FILE_NOT_FOUND', `there is no ${path}`, { cause: error })
    }
    if (isErrno(error, 'EACCES') || isErrno(error, 'EPERM')) {
      throw new PineError('NOT_ROOT', `no permission to open ${path}`, {
        hint: 'run the command as root',
        cause: error,
      })
    }
    throw ioFailed(`cannot open ${path}`, error)
  }
}

const SOURCE_BYTES = 256 * 1024

/** Reads a file once, in order, into one buffer: each piece is valid until the next is asked for. */
export async function* readSource(path: string): AsyncGenerator<Uint8Array, void, undefined> {
  const file = await openExisting(path, false)
  const buffer = Buffer.allocUnsafeSlow(SOURCE_BYTES)
  try {
    for (;;) {
      const { bytesRead } = await attempt(path, () => file.read(buffer, 0, buffer.length, null))
      if (bytesRead === 0) return
      yield buffer.subarray(0, bytesRead)
    }
  } finally {
    await file.close()
  }
}

interface Window {
  name: string
  offset: number
  bytes: number
}

function regionOf(file: FileHandle, { name, offset, bytes }: Window): OpenRegion {
  const check = (length: number, position: number): void => {
    if (position < 0 || position + length > bytes) {
      throw new RangeError(`${name}: bytes ${position}+${length} are outside its ${bytes} bytes`)
    }
  }
  return {
    name,
    bytes,
    async read(into, position) {
      check(into.length, position)
      await transfer(name, into, async (rest, done) => {
        const { bytesRead } = await file.read(rest, 0, rest.length, offset + position + done)
        return bytesRead
      })
    },
    async write(from, position) {
      check(from.length, position)
      await transfer(name, from, async (rest, done) => {
        const { bytesWritten } = await file.write(rest, 0, rest.length, offset + position + done)
        return bytesWritten
      })
    },
    flush: () => attempt(name, () => file.datasync()),
    dropCache: async () => native().fadvise(file.fd),
    tryLock: () => native().tryLock(file.fd),
    lockId: () => lockIdOf(file),
    close: () => file.close(),
  }
}

type Move = (rest: Uint8Array, done: number) => Promise<number>

async function transfer(name: string, buffer: Uint8Array, move: Move): Promise<void> {
  for (let done = 0; done < buffer.length; ) {
    const moved = await attempt(name, () => move(buffer.subarray(done), done))
    if (moved === 0) throw new PineError('IO_FAILED', `${name} ended ${buffer.length - done} bytes early`)
    done += moved
  }
}

async function attempt<T>(name: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action()
  } catch (error) {
    throw ioFailed(name, error)
  }
}
