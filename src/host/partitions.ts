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
