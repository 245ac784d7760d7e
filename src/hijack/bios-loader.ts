import { coreImage } from '../boot/shipped-core.ts'
import { PineError } from '../core/error.ts'
import type { Region } from '../core/region.ts'
import type { Host } from '../host/host.ts'
import type { GptPiece } from '../model/gpt.ts'
import { coreInUse, placeForCore } from './boot-sector.ts'
import { type DiskTable, loaderPartition, readSectors, SECTOR_BYTES } from './disk-table.ts'
import { loaderPieces } from './loader-pieces.ts'

/** Our loader for BIOS, beside the old one, and the boot sector that starts it. Throws `TAKEOVER_REFUSED`. */
export async function planBiosLoader(
  host: Host,
  disk: Region,
  { table, head }: DiskTable,
): Promise<{ core: GptPiece; boot: GptPiece }> {
  const { entry } = loaderPartition(table, { efi: null })
  if (entry === undefined) throw noPlace('there is no partition for GRUB (bios_boot) on the disk')
  const offset = entry.firstLba * SECTOR_BYTES
  const bytes = (entry.lastLba + 1) * SECTOR_BYTES - offset
  const first = head.subarray(0, SECTOR_BYTES)
  const used = await coreInUse(first, (lba, count) => readSectors(disk, lba, count))
  const image = await coreImage(host)
  const coreLba = placeForCore({ biosBoot: { offset, bytes }, used, coreBytes: image.core.length })
  if (coreLba === undefined)
    throw noPlace(`the partition for GRUB has no ${image.core.length} bytes beside what is in it`)
  return loaderPieces(image, coreLba, first)
}

function noPlace(problem: string): PineError {
  return new PineError('TAKEOVER_REFUSED', `${problem}: the new loader has no place beside the old one`, {
    hint: 'make the bios_boot partition 1 MiB, and run "grub-install" on the disk',
  })
}
