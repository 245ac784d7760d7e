import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { isErrno } from '../core/error.ts'
import { readFile } from './files.ts'

/** Where the initramfs notes the device it started. */
const STARTED = '/run/pine-update/watchdog'

/**
 * Stops the timer that the initramfs started, by the "magic close" character (Linux watchdog API). False where
 * none was started, or where another program holds and feeds it.
 */
export async function stopWatchdog(): Promise<boolean> {
  const path = (await readFile(STARTED))?.toString().trim()
  if (path === undefined) return false
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
