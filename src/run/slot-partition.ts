import { join } from 'node:path'
import { makeFolder } from '../host/folder.ts'
import type { Host } from '../host/host.ts'
import { makeSlotFileSystem } from '../host/make-file-system.ts'

/** Where a partition is: a device of its own, or a part of a disk or file. */
export interface SlotPlace {
  path: string
  offset: number
  bytes: number
  /** PARTUUID */
  uuid: string
}

/** Mount points are `<PARTUUID>.<PID>`. */
const FOLDER = '/run/pine-update/slots'

/**
 * Mounts the tree slot of a partition for `use`: as it is on the device and read-only, or with a new file system. A crash leaves it
 * mounted, until it is made anew.
 */
export async function withMountedSlot<T>(
  host: Host,
  { place, how }: { place: SlotPlace; how: 'read' | 'anew' },
  use: (folder: string) => Promise<T>,
): Promise<T> {
  if (how === 'anew') {
    await unmountLeftovers(host, place)
    await makeSlotFileSystem(host, place.path, place)
  } else {
    await forgetCached(host, place)
  }
  const folder = join(FOLDER, `${place.uuid}.${process.pid}`)
  await makeFolder(folder)
  await host.exec('mount', ['-t', 'ext4', '-o', optionsOf(place, how), place.path, folder])
  try {
    return await use(folder)
  } finally {
    // Never removed with what is in it: it could still be mounted.
    await host.exec('umount', [folder])
    await host.exec('rmdir', [folder])
  }
}

function optionsOf({ offset, bytes }: SlotPlace, how: 'read' | 'anew'): string {
  const access = how === 'read' ? 'ro' : 'rw,noatime'
  const part = offset === 0 ? '' : `,loop,offset=${offset},sizelimit=${bytes}`
  return `${access},nodev,nosuid${part}`
}

/** Of processes that are gone: mke2fs makes no file system where one is mounted. */
async function unmountLeftovers(host: Host, { uuid }: SlotPlace): Promise<void> {
  for (const name of await host.listFolder(FOLDER)) {
    const [of, pid] = name.split('.')
    if (of !== uuid || (await host.kindOf(join('/proc', String(pid)))) !== undefined) continue
    await host.exec('umount', [join(FOLDER, name)]).catch(() => undefined)
    await host.exec('rmdir', [join(FOLDER, name)])
  }
}

/** The cache may hold what never got to the device. */
async function forgetCached(host: Host, { path, offset, bytes }: SlotPlace): Promise<void> {
  const region = await host.openRegion(path, { offset, bytes })
  await region.dropCache().finally(() => region.close())
}
