import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { isErrno } from '../core/error.ts'
import type { Host } from './host.ts'

/**
 * Why a block device is in use: its mounts, swaps and holders; empty where it is idle. The kernel has the last
 * word: an exclusive open fails while any partition is claimed, whatever lsblk shows.
 */
export async function usesOf(host: Host, device: string): Promise<string[]> {
  const listed = await host.exec('lsblk', ['--json', '--output', 'NAME,TYPE,MOUNTPOINTS', device])
  const { blockdevices } = JSON.parse(listed) as { blockdevices: Listed[] }
  const uses = blockdevices.flatMap((disk) => describeUses(disk, true))
  if (uses.length === 0 && (await isClaimed(device))) uses.push('the kernel says that it is busy')
  return uses
}

interface Listed {
  name: string
  type: string
  mountpoints?: (string | null)[]
  children?: Listed[]
}

function describeUses(entry: Listed, top: boolean): string[] {
  const mounts = (entry.mountpoints ?? []).filter((point) => point !== null)
  const here = mounts.map((point) => `${entry.name} is used as ${point}`)
  const held = top || entry.type === 'part' ? [] : [`${entry.name} (${entry.type}) is built on it`]
  return [...here, ...held, ...(entry.children ?? []).flatMap((child) => describeUses(child, false))]
}

async function isClaimed(device: string): Promise<boolean> {
  try {
    const file = await open(device, constants.O_RDWR | constants.O_EXCL)
    await file.close()
    return false
  } catch (error) {
    if (isErrno(error, 'EBUSY')) return true
    throw error
  }
}
