import type { CoreImage } from '../boot/grub-core.ts'
import { PineError } from '../core/error.ts'
import type { Region } from '../core/region.ts'
import type { GptPiece, GptTable } from '../model/gpt.ts'
import { type MbrTable, protectiveSector } from '../model/mbr.ts'
import { coreInUse, movedCore, PHYSICAL_SECTORS, placeForCore, type SectorRun } from './boot-sector.ts'
import type { CommitRequest } from './commit-plan.ts'
import { readMbrTable, readSectors, SECTOR_BYTES, withNewSystem } from './disk-table.ts'
import { loaderPieces } from './loader-pieces.ts'
import type { Flip } from './table-change.ts'
import { GAP_START, tableFromMbr, wholeTable } from './table-from-mbr.ts'

/**
 * How a disk with an MBR comes to have a GPT and our loader. Old GRUB lies where the GPT goes, in the gap before the first
 * partition, so it is moved first. What starts, and what readers find:
 *
 * - while preparing: GRUB from where it was. Its copy and our loader are written to what is free of the gap.
 * - after flip 1, the boot sector with another address in its code: GRUB from its copy. The sectors of the GPT are nobody's.
 * - while the GPT is written: the same. Linux, GRUB and libblkid look at none unless the first sector says so
 *   (block/partitions/efi.c, `is_pmbr_valid`; grub-core/partmap/gpt.c).
 * - after flip 2, the boot sector with our code and the record that says so: our loader, and all old partitions by the same
 *   numbers. Records of logical partitions stay where they are, for the way back.
 */
export async function planConversion(
  disk: Region,
  image: CoreImage,
  request: Omit<CommitRequest, 'efi'>,
): Promise<Flip[]> {
  const mbr = await readMbrTable(disk)
  requireSame(mbr, request.root)
  const table = convertedTable(mbr, request)
  const sector = await readSectors(disk, 0, 1)
  const runs = await coreInUse(sector, (lba, count) => readSectors(disk, lba, count))
  const { copyLba, coreLba } = placesInGap(mbr, runs, image)
  const ours = loaderPieces(image, coreLba, protectiveSector(sector, mbr.lastLba))
  if (copyLba === undefined) return [{ prepare: [ours.core, ...wholeTable(table)], flip: ours.boot }]
  const moved = movedCore(sector, { runs, core: await readRuns(disk, runs) }, copyLba)
  const copy: GptPiece = { offset: copyLba * SECTOR_BYTES, bytes: moved.core }
  return [
    { prepare: [copy, ours.core], flip: { offset: 0, bytes: moved.bootSector } },
    { prepare: wholeTable(table), flip: ours.boot },
  ]
}

/** With the new system. The same parts give the same table: a commit that is made again writes what is there. */
export function convertedTable(mbr: MbrTable, { parts }: Pick<CommitRequest, 'parts'>): GptTable {
  const seed = parts.map(({ uuid }) => uuid).join()
  return withNewSystem(tableFromMbr(mbr, seed), { parts, efi: null })
}

/** Where the root was when room was found in it, or where the kernel has it. */
function requireSame({ partitions }: MbrTable, root: CommitRequest['root']): void {
  if (root === undefined) return
  const found = partitions.find(({ number }) => number === root.number)
  const [offset, end] = [(found?.firstLba ?? 0) * SECTOR_BYTES, ((found?.lastLba ?? 0) + 1) * SECTOR_BYTES]
  if (offset === root.offset && end === root.offset + root.bytes) return
  const place = found === undefined ? 'not in the table' : `at ${offset} to ${end}`
  throw new PineError(
    'TAKEOVER_REFUSED',
    `partition ${root.number} with / is ${place}, expected at ${root.offset} to ${root.offset + root.bytes}`,
    {
      hint: 'the table was changed since: restart the machine; give up what is staged with "hijack abort", and begin again',
    },
  )
}

/** `copyLba`: undefined where the old GRUB is in nobody's way. */
interface Places {
  copyLba: number | undefined
  coreLba: number
}

/** Beside what is used: until our loader starts that is what starts. */
function placesInGap({ gapEnd }: MbrTable, used: readonly SectorRun[], image: CoreImage): Places {
  const stray = used.find(({ lba, sectors }) => lba + sectors > gapEnd)
  if (stray !== undefined)
    throw new PineError(
      'TAKEOVER_REFUSED',
      `GRUB is in sector ${stray.lba} and ${stray.sectors - 1} more, expected all of it before the first partition, at ${gapEnd}`,
      { hint: 'run "grub-install" on the disk, then try again' },
    )
  const biosBoot = { offset: GAP_START * SECTOR_BYTES, bytes: (gapEnd - GAP_START) * SECTOR_BYTES }
  const oldSectors = used.reduce((total, { sectors }) => total + sectors, 0)
  const isInTheWay = used.some(({ lba }) => lba < GAP_START)
  const copyLba = isInTheWay
    ? placeForCore({ biosBoot, used, coreBytes: oldSectors * SECTOR_BYTES })
    : undefined
  const copy = copyLba === undefined ? [] : [{ lba: copyLba, sectors: oldSectors }]
  const coreLba = placeForCore({ biosBoot, used: [...used, ...copy], coreBytes: image.core.length })
  if (coreLba !== undefined && (copyLba !== undefined || !isInTheWay)) return { copyLba, coreLba }
  const oldEnd = Math.max(GAP_START, ...used.map(({ lba, sectors }) => lba + sectors))
  const oldAgain = isInTheWay ? oldSectors : 0
  const needed = aligned(aligned(oldEnd) + oldAgain) + Math.ceil(image.core.length / SECTOR_BYTES)
  throw new PineError(
    'TAKEOVER_REFUSED',
    `the first partition begins at sector ${gapEnd}, expected ${needed} or later: before it there have to be a GPT and two loaders`,
    { hint: 'use "install" on an idle disk' },
  )
}

/** As cores are placed. */
function aligned(lba: number): number {
  return Math.ceil(lba / PHYSICAL_SECTORS) * PHYSICAL_SECTORS
}

async function readRuns(disk: Region, runs: readonly SectorRun[]): Promise<Buffer> {
  const contents: Buffer[] = []
  for (const { lba, sectors } of runs) contents.push(await readSectors(disk, lba, sectors))
  return Buffer.concat(contents)
}
