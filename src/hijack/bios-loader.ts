import { embedCore } from '../boot/grub-core.ts'
import { coreImage } from '../boot/shipped-core.ts'
import { PineError } from '../core/error.ts'
import type { Region } from '../core/region.ts'
import type { Host } from '../host/host.ts'
import type { GptPiece } from '../model/gpt.ts'
import { coreInUse, newBootSector, placeForCore } from './boot-sector.ts'
import { type DiskTable, loaderPartition, SECTOR_BYTES } from './disk-table.ts'

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
  const used = await coreInUse(first, async (lba, count) => {
    const sectors = Buffer.alloc(count * SECTOR_BYTES)
    await disk.read(sectors, lba * SECTOR_BYTES)
    return sectors
  })
  const image = await coreImage(host)
  const coreLba = placeForCore({ biosBoot: { offset, bytes }, used, coreBytes: image.core.length })
  if (coreLba === undefined)
    throw noPlace(`the partition for GRUB has no ${image.core.length} bytes beside what is in it`)
  const { bootCode, core } = embedCore(image, { coreLba, availableBytes: image.core.length })
  return {
    core: { offset: coreLba * SECTOR_BYTES, bytes: core },
    boot: { offset: 0, bytes: newBootSector(first, bootCode) },
  }
}

function noPlace(problem: string): PineError {
  return new PineError('TAKEOVER_REFUSED', `${problem}: the new loader has no place beside the old one`, {
    hint: 'make the bios_boot partition 1 MiB, and run "grub-install" on the disk',
  })
}
