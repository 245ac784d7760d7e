import { PineError } from '../core/error.ts'
import { formatDuration } from '../core/format.ts'
import type { OpenRegion } from '../core/region.ts'
import type { Host } from '../host/host.ts'
import { usesOf } from '../host/in-use.ts'
import { type LockHolder, lockHolder } from '../host/lock-holder.ts'
import { describeProcess } from '../host/process.ts'
import type { PineDisk } from './disk.ts'

const RETRY_MS = 1000
/** How often somebody is waited for who is not known to be a pine-update. */
const PASSING = 3

interface LockOptions {
  /** Waits until the lock is free instead of throwing `BUSY`. */
  patient: boolean
  /** Told once whom it waits for. */
  notice: (text: string) => void
}

/**
 * Takes the lock of a disk: the kernel's, on what is open of it, such as the bootstate partition, so that it goes with its
 * holder however that ends. Throws `BUSY` with the name of the holder, `DISK_IN_USE`.
 */
export async function takeLock(
  host: Host,
  disk: Pick<PineDisk, 'path' | 'live'>,
  region: OpenRegion,
  { patient, notice }: LockOptions,
): Promise<void> {
  if (!disk.live) await requireIdle(host, disk.path)
  for (let attempt = 1; !region.tryLock(); attempt++) {
    const holder = await lockHolder(host, region)
    // udev looks at a disk whenever somebody has written to it; and who is gone by now cannot be shown.
    const passing = holder?.shared !== false && attempt <= PASSING
    if (!patient && !passing) throw busy(holder, disk.path)
    if (patient && attempt === 1) notice(`waiting: ${whoIsAtWork(holder, disk.path)}`)
    await host.sleep(RETRY_MS)
  }
}

/** The lock of a partition is not that of its disk, and what one of them reads the other need not have written. */
async function requireIdle(host: Host, path: string): Promise<void> {
  if ((await host.kindOf(path)) !== 'device') return
  const uses = await usesOf(host, path)
  if (uses.length === 0) return
  throw new PineError('DISK_IN_USE', `${path} is in use: ${uses.join('; ')}`, {
    hint: 'where this machine runs from it, leave out --disk; else unmount it first',
  })
}

function busy(holder: LockHolder | undefined, path: string): PineError {
  return new PineError('BUSY', whoIsAtWork(holder, path), {
    hint: 'wait until it ends; "pine-update status" may be asked at any time',
  })
}

function whoIsAtWork(holder: LockHolder | undefined, path: string): string {
  if (holder === undefined) {
    return `a process that cannot be seen from here is at work on ${path}, as one in another container`
  }
  return `${describeProcess(holder)} has been at work on ${path} for ${formatDuration(holder.runningMs)}`
}
