import { PineError } from '../core/error.ts'
import type { Host } from './host.ts'

/** A partition that the kernel knows. */
export interface KnownPartition {
  /** Device, such as `/dev/vda4`. */
  path: string
  /** Device of its disk. */
  disk: string
  /** PARTUUID, lower case. */
  uuid: string
  bytes: number
}

interface Listed {
  name: string
  pkname: string | null
  partuuid: string | null
  size: number
}

/** Every partition of this machine that has a PARTUUID; lsblk(8) takes them from udev and reads no disk. */
export async function listPartitions(host: Host): Promise<KnownPartition[]> {
  const columns = ['--output', 'NAME,PKNAME,PARTUUID,SIZE']
  const listed = await host.exec('lsblk', ['--json', '--list', '--paths', '--bytes', ...columns])
  const { blockdevices } = JSON.parse(listed) as { blockdevices: Listed[] }
  // A device under several others is listed under each.
  const byPath = new Map(blockdevices.map((device) => [device.name, device]))
  return [...byPath.values()].flatMap(({ name, pkname, partuuid, size }) =>
    pkname === null || partuuid === null
      ? []
      : [{ path: name, disk: pkname, uuid: partuuid.toLowerCase(), bytes: size }],
  )
}

/** The device of the one disk whose partition table has that GUID or signature. Throws `NOT_A_PINE_DISK`, `DISK_AMBIGUOUS`. */
export async function diskWithTable(host: Host, tableId: string): Promise<string> {
  const columns = ['--output', 'NAME,TYPE,PTUUID']
  const listed = await host.exec('lsblk', ['--json', '--list', '--paths', '--nodeps', ...columns])
  const { blockdevices } = JSON.parse(listed) as { blockdevices: { name: string; ptuuid: string | null }[] }
  const [first, second] = blockdevices.filter(({ ptuuid }) => ptuuid?.toLowerCase() === tableId)
  if (first === undefined)
    throw new PineError('NOT_A_PINE_DISK', `there is no disk with the partition table ${tableId}`, {
      hint: 'is udev running? look at lsblk --output NAME,PTUUID',
    })
  if (second === undefined) return first.name
  throw new PineError(
    'DISK_AMBIGUOUS',
    `${first.name} and ${second.name} have the same partition table ${tableId}`,
    {
      hint: 'one disk is a copy of the other: detach it, then run the command again',
    },
  )
}
