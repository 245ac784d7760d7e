import { coreImage } from '../boot/shipped-core.ts'
import { PineError } from '../core/error.ts'
import type { Region } from '../core/region.ts'
import type { Host } from '../host/host.ts'
import type { GptPiece } from '../model/gpt.ts'
import { coreInUse, placeForCore } from './boot-sector.ts'
import { planConversion } from './convert.ts'
import {
  biosBootOf,
  type DiskTable,
  hasGpt,
  readDiskTable,
  readSectors,
  requireNames,
  SECTOR_BYTES,
  withNewSystem,
} from './disk-table.ts'
import type { TakeoverJournal } from './journal.ts'
import { loaderPieces } from './loader-pieces.ts'
import { type Flip, tableChange } from './table-change.ts'

/** What is known of the new system, and where the kernel has the old root. */
export type CommitRequest = Pick<TakeoverJournal, 'parts'> & {
  root?: Omit<TakeoverJournal['root'], 'fsUuid'>
}

/**
 * What commit does to the disk, one flip after the other. Each leaves a disk that starts; with the last one our loader is the
 * first. Throws `LAYOUT_INVALID`, `TAKEOVER_REFUSED`.
 */
export async function planCommit(host: Host, disk: Region, request: CommitRequest): Promise<Flip[]> {
  if (!(await hasGpt(disk))) return planConversion(disk, await coreImage(host), request)
  const { table, head } = await readDiskTable(disk)
  requireNames(table)
  const { prepare, flip } = tableChange(table, withNewSystem(table, request), head)
  const loader = await planLoader(host, disk, { table, head })
  return [
    // The new partitions are there, the old ones as well.
    { prepare: [...prepare, loader.core], flip },
    // Our loader starts, and the old system is one of the things that it can start.
    { prepare: [], flip: loader.boot },
  ]
}

async function planLoader(
  host: Host,
  disk: Region,
  { table, head }: DiskTable,
): Promise<{ core: GptPiece; boot: GptPiece }> {
  const entry = biosBootOf(table)
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
