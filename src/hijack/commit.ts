import { findBackend } from '../boot/backend.ts'
import { embedCore } from '../boot/grub-core.ts'
import { writeScript } from '../boot/new-bootstate.ts'
import { coreImage } from '../boot/shipped-core.ts'
import { PineError } from '../core/error.ts'
import type { OpenRegion, Region } from '../core/region.ts'
import type { Carving } from '../host/extents.ts'
import type { Host } from '../host/host.ts'
import { arm, DEFAULT_TRIES } from '../model/boot-state.ts'
import type { GptPiece } from '../model/gpt.ts'
import { coreInUse, newBootSector, placeForCore } from './boot-sector.ts'
import { GRUB } from './box-facts.ts'
import { checkCarved } from './carve.ts'
import { openOnDisk, scriptOf } from './content.ts'
import {
  biosBootOf,
  type DiskTable,
  readDiskTable,
  requireNames,
  SECTOR_BYTES,
  withNewSystem,
} from './disk-table.ts'
import { type TakeoverJournal, writeJournal } from './journal.ts'
import type { OldSystem } from './old-system.ts'
import { applyFlip, writePieces } from './pieces.ts'
import { tableChange } from './table-change.ts'

/** What commit writes, in this order, with a flush after each list. */
interface CommitPlan {
  /** Where nobody reads yet: our loader beside the old one, the other list of partitions. */
  prepare: GptPiece[]
  /** The header of the table, one sector: the new partitions are there, the old ones as well. */
  table: GptPiece
  /** The boot sector: our loader starts, and the old system is one of the things that it can start. */
  flip: GptPiece
}

/**
 * Puts the new system first. What it writes over is noted before. A power cut leaves a disk that the old loader starts, up
 * to the last sector, and after that ours. Throws `TAKEOVER_REFUSED`, `CARVE_FAILED`, `LAYOUT_INVALID`.
 */
export async function commitTakeover(
  host: Host,
  carving: Carving,
  { journal, old }: { journal: TakeoverJournal; old: OldSystem },
): Promise<void> {
  await checkCarved(carving, journal, journal.root.offset)
  const disk = await host.openRegion(journal.disk.path, { writable: true })
  try {
    // An earlier try that was cut off.
    await writeBack(disk, journal)
    const plan = await planCommit(host, disk, journal)
    const pieces = [...plan.prepare, plan.table, plan.flip]
    await writeJournal(host, { ...journal, before: await contentOf(disk, pieces) })
    // Our loader reads no journal, where a kernel of today still is.
    await carving.settleFileSystem(GRUB)
    await startTrial(host, journal, old)
    await applyFlip(disk, { prepare: plan.prepare, flip: plan.table })
    await writePieces(disk, [plan.flip])
  } finally {
    await disk.close()
  }
}

/** Throws what commit would find out too late: `LAYOUT_INVALID`, `TAKEOVER_REFUSED`. */
export async function checkCommit(host: Host, path: string): Promise<void> {
  const disk = await host.openRegion(path)
  await planCommit(host, disk, { parts: [] }).finally(() => disk.close())
}

async function planCommit(
  host: Host,
  disk: Region,
  journal: Pick<TakeoverJournal, 'parts'>,
): Promise<CommitPlan> {
  const { table, head } = await readDiskTable(disk)
  requireNames(table)
  const { prepare, flip } = tableChange(table, withNewSystem(table, journal), head)
  const loader = await planLoader(host, disk, { table, head })
  return { prepare: [...prepare, loader.core], table: flip, flip: loader.boot }
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

/** What is there now, for the way back. */
async function contentOf(disk: Region, pieces: readonly GptPiece[]): Promise<TakeoverJournal['before']> {
  const before: { offset: number; content: string }[] = []
  for (const { offset, bytes } of pieces) {
    const content = Buffer.alloc(bytes.length)
    await disk.read(content, offset)
    before.push({ offset, content: content.toString('base64') })
  }
  return before
}

/** The way back: the boot sector first, then the header of the table, each alone. Does nothing where commit wrote nothing. */
export async function writeBack(disk: OpenRegion, { before }: TakeoverJournal): Promise<void> {
  const pieces = (before ?? []).map(({ offset, content }) => ({
    offset,
    bytes: Buffer.from(content, 'base64'),
  }))
  for (const piece of pieces.reverse()) await writePieces(disk, [piece])
}

/** Slot a as it was rehearsed, with its /etc; and the kernel that the old system has today. */
async function startTrial(host: Host, journal: TakeoverJournal, old: OldSystem): Promise<void> {
  const region = await openOnDisk(host, journal, 'bootstate', true)
  try {
    await writeScript(host, region, scriptOf(journal, old))
    const loader = await findBackend(region)
    await loader.change(region, (state) => arm(state, 'a', DEFAULT_TRIES, true))
    await region.flush()
  } finally {
    await region.close()
  }
}
