import { embedCore, makeCoreImage } from '../boot/grub-core.ts'
import { makeEfiImage } from '../boot/grub-efi.ts'
import { makeEfiPartition } from '../boot/grub-efi-partition.ts'
import type { Host } from '../host/host.ts'
import type { Layout, Partition } from '../model/layout.ts'

const SECTOR_BYTES = 512

/** Bytes and their place on the disk. */
interface Piece {
  bytes: Buffer
  offset: number
}

/** The loader of a layout, for the firmware that the layout has partitions for. */
export interface LoaderPieces {
  body: Piece[]
  /**
   * At most one sector for each firmware, without which that one starts nothing from the disk: BIOS runs the boot sector;
   * UEFI takes a partition whose first sector is none of FAT's for one without a file system, and tries the next disk.
   */
  first: Piece[]
}

/** Makes the loader; does not write to a disk. Throws `TOOL_MISSING`, `DISK_TOO_SMALL`. */
export async function makeLoader(host: Host, { partitions }: Layout): Promise<LoaderPieces> {
  const { 'bios-boot': biosBoot, esp } = partitions
  const bios = biosBoot === undefined ? [] : [await forBios(host, biosBoot)]
  const uefi = esp === undefined ? [] : [await forUefi(host, esp)]
  const all = [...bios, ...uefi]
  return { body: all.flatMap(({ body }) => body), first: all.flatMap(({ first }) => first) }
}

async function forBios(host: Host, { offset, bytes }: Partition): Promise<LoaderPieces> {
  const place = { coreLba: offset / SECTOR_BYTES, availableBytes: bytes }
  const { bootCode, core } = embedCore(await makeCoreImage(host), place)
  return { body: [{ bytes: core, offset }], first: [{ bytes: bootCode, offset: 0 }] }
}

async function forUefi(host: Host, { offset, bytes }: Partition): Promise<LoaderPieces> {
  const content = await makeEfiPartition(host, await makeEfiImage(host), bytes)
  return {
    body: [{ bytes: content.subarray(SECTOR_BYTES), offset: offset + SECTOR_BYTES }],
    first: [{ bytes: content.subarray(0, SECTOR_BYTES), offset }],
  }
}
