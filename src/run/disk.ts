import { PineError } from '../core/error.ts'
import type { OpenRegion } from '../core/region.ts'
import type { Host } from '../host/host.ts'
import { readTable } from '../host/sfdisk.ts'
import { parseCmdline } from '../model/cmdline.ts'
import { type Layout, parseLayout, type Role } from '../model/layout.ts'

/** A disk with our layout: the one this machine runs from, or an image file or idle disk. */
export interface PineDisk {
  path: string
  live: boolean
  layout: Layout
  /** Kernel command line of this boot; empty for a disk that does not run. */
  cmdline: Map<string, string>
  /** The caller closes it. */
  open(role: Role, options: { writable: boolean }): Promise<OpenRegion>
}

/** Opens an image file or an idle disk. Throws `NOT_A_PINE_DISK`, `LAYOUT_INVALID`. */
export async function openDiskImage(host: Host, path: string): Promise<PineDisk> {
  if ((await host.realPath(path)) === undefined) {
    throw new PineError('FILE_NOT_FOUND', `there is no ${path}`)
  }
  const layout = parseLayout(await readTable(host, path), path)
  return {
    path,
    live: false,
    layout,
    cmdline: new Map(),
    open: (role, { writable }) => {
      const { offset, bytes } = layout.partitions[role]
      return host.openRegion(path, { offset, bytes, writable })
    },
  }
}

/** Finds the disk of the running root file system by the PARTUUID that the loader gave the kernel. */
export async function openLiveDisk(host: Host): Promise<PineDisk> {
  const cmdline = parseCmdline(String((await host.readFile('/proc/cmdline')) ?? ''))
  const root = /^PARTUUID=(.+)$/.exec(cmdline.get('root') ?? '')?.[1]
  if (root === undefined || !cmdline.has('pine.slot')) {
    throw new PineError('NOT_A_PINE_DISK', 'this machine was not started by a pine-update loader', {
      hint: 'to work on a disk image, add --disk FILE',
    })
  }
  const node = await host.realPath(`/dev/disk/by-partuuid/${root}`)
  const parent = node === undefined ? undefined : await wholeDisk(host, node)
  if (parent === undefined) {
    throw new PineError('NOT_A_PINE_DISK', `the root partition ${root} is not under /dev/disk/by-partuuid`, {
      hint: 'is udev running?',
    })
  }
  const layout = parseLayout(await readTable(host, parent), parent)
  return {
    path: parent,
    live: true,
    layout,
    cmdline,
    // By PARTUUID: device names can change between two boots, and between two lines of this program.
    open: (role, { writable }) =>
      host.openRegion(`/dev/disk/by-partuuid/${layout.partitions[role].uuid}`, { writable }),
  }
}

/** `/dev/vda4` → `/dev/vda`: sysfs shows a partition inside the folder of its disk. */
async function wholeDisk(host: Host, partition: string): Promise<string | undefined> {
  const name = partition.replace(/^\/dev\//, '')
  const folder = await host.realPath(`/sys/class/block/${name}`)
  const disk = folder?.split('/').at(-2)
  return disk === undefined ? undefined : `/dev/${disk}`
}
