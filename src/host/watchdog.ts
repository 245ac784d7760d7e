import { constants } from 'node:fs'
import { open, unlink } from 'node:fs/promises'
import { isErrno } from '../core/error.ts'
import { readFile } from './files.ts'

/** Where the initramfs notes the device it started. */
const STARTED = '/run/pine-update/watchdog'
/** What the init of a container looks at while it waits for a verdict: native/container-init/start.c. */
const DEADLINE = '/.pine/deadline'

/**
 * Stops the timer that the initramfs or the init of a container started, the former by the "magic close" character (Linux watchdog API). False where
 * none was started, or where another program holds and feeds it.
 */
export async function stopWatchdog(): Promise<boolean> {
  const path = (await readFile(STARTED))?.toString().trim()
  if (path === undefined) return await removeDeadline()
  try {
    const device = await open(path, constants.O_WRONLY)
    try {
      await device.write('V')
    } finally {
      await device.close()
    }
    return true
  } catch (error) {
    if (isErrno(error, 'ENOENT') || isErrno(error, 'EBUSY')) return false
    throw error
  }
}

async function removeDeadline(): Promise<boolean> {
  try {
    await unlink(DEADLINE)
    return true
  } catch (error) {
    if (isErrno(error, 'ENOENT') || isErrno(error, 'ENOTDIR')) return false
    throw error
  }
}
