import type { Host } from '../host/host.ts'
import { takeLock } from '../run/lock.ts'

/**
 * One step of a takeover at a time: with the kernel's lock on the disk, which udev respects as well. Throws `BUSY` with the
 * name of who has it.
 */
export async function whileAlone<T>(host: Host, path: string, step: () => Promise<T>): Promise<T> {
  // As a writer: when that is closed udev looks at what it was kept from.
  const disk = await host.openRegion(path, { writable: true })
  try {
    await takeLock(host, { path, live: true }, disk, { patient: false, notice: () => undefined })
    return await step()
  } finally {
    await disk.close()
  }
}
