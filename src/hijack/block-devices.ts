import * as v from 'valibot'
import { parseJson } from '../core/json.ts'
import type { Host } from '../host/host.ts'

/** A disk, a partition, or what is built of them. */
export interface BlockDevice {
  /** Such as `/dev/vda1`. */
  path: string
  /** As lsblk says: `disk`, `part`, `lvm`, `crypt`, `raid1`, `loop`… */
  type: string
  /** Devices that it is made of; empty for a disk. */
  parents: string[]
  bytes: number
  /** Logical sector. */
  sectorBytes: number
  fs: string
  fsUuid: string
  partUuid: string
  /** Type of a partition, lower case: a GUID on GPT. */
  partType: string
  /** Label of the partition table, `gpt` or `dos`, for a disk. */
  table: string
  /** GUID or signature of the table. */
  tableId: string
}

const Text = v.fallback(v.string(), '')
const Listed = v.object({
  blockdevices: v.array(
    v.object({
      path: v.string(),
      pkname: v.nullish(v.string()),
      type: v.string(),
      size: v.number(),
      'log-sec': v.number(),
      fstype: Text,
      uuid: Text,
      partuuid: Text,
      parttype: Text,
      pttype: Text,
      ptuuid: Text,
    }),
  ),
})

const COLUMNS = 'PATH,PKNAME,TYPE,SIZE,LOG-SEC,FSTYPE,UUID,PARTUUID,PARTTYPE,PTTYPE,PTUUID'

/** All block devices of this machine, by path; lsblk(8) takes what it prints from udev. */
export async function listBlockDevices(host: Host): Promise<Map<string, BlockDevice>> {
  const args = ['--json', '--list', '--paths', '--bytes', '--output', COLUMNS]
  const { blockdevices } = v.parse(Listed, parseJson(await host.exec('lsblk', args)))
  const devices = new Map<string, BlockDevice>()
  for (const listed of blockdevices) {
    const { path, pkname, type } = listed
    // A device of several others is listed under each.
    const parents = [...(devices.get(path)?.parents ?? []), ...(pkname ? [pkname] : [])]
    const ids = { fs: listed.fstype, fsUuid: listed.uuid, partUuid: listed.partuuid.toLowerCase() }
    const partType = listed.parttype.toLowerCase()
    const table = { table: type === 'disk' ? listed.pttype : '', tableId: listed.ptuuid.toLowerCase() }
    devices.set(path, {
      path,
      type,
      parents,
      bytes: listed.size,
      sectorBytes: listed['log-sec'],
      ...ids,
      partType,
      ...table,
    })
  }
  return devices
}

/** From a device down to the disks that it is on, itself first. */
export function stackOf(devices: ReadonlyMap<string, BlockDevice>, path: string): BlockDevice[] {
  const device = devices.get(path)
  if (device === undefined) return []
  return [device, ...device.parents.flatMap((parent) => stackOf(devices, parent))]
}
