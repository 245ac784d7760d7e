import { findBackend } from '../boot/backend.ts'
import { applyBootChanges, readBootVariables } from '../boot/firmware-variables.ts'
import { writeScript } from '../boot/new-bootstate.ts'
import type { OpenRegion, Region } from '../core/region.ts'
import type { Carving } from '../host/extents.ts'
import type { Host } from '../host/host.ts'
import { arm, DEFAULT_TRIES } from '../model/boot-state.ts'
import { forgetChanges, startOnceChanges } from '../model/boot-variables.ts'
import type { GptPiece } from '../model/gpt.ts'
import { planBiosLoader } from './bios-loader.ts'
import { GRUB } from './box-facts.ts'
import { checkCarved } from './carve.ts'
import { openOnDisk, scriptOf } from './content.ts'
import { bootOption, type InTable, readDiskTable, requireNames, withNewSystem } from './disk-table.ts'
import { installProgram, requireEsp } from './esp.ts'
import { type TakeoverJournal, writeJournal } from './journal.ts'
import type { OldSystem } from './old-system.ts'
import { applyFlip, writePieces } from './pieces.ts'
import { tableChange } from './table-change.ts'

/** What commit writes, in this order, with a flush after each list. */
interface CommitPlan {
  /** Where nobody reads yet: the other list of partitions, and for BIOS our loader beside the old one. */
  prepare: GptPiece[]
  /** The header of the table, one sector: the new partitions are there, the old ones as well. */
  table: GptPiece
  /**
   * What has our loader started, and the old system is one of the things that it can start: for BIOS the boot sector, for
   * UEFI variables of the firmware, of which the last one decides.
   */
  flip: { sector: GptPiece } | { option: Buffer }
}

/**
 * Puts the new system first; with UEFI for one start, until it has confirmed itself. What it writes over is noted before. A
 * power cut leaves a machine that the old loader starts, up to the last sector or variable, and after that ours. Throws
 * `TAKEOVER_REFUSED`, `CARVE_FAILED`, `LAYOUT_INVALID`, `IO_FAILED`.
 */
export async function commitTakeover(
  host: Host,
  carving: Carving,
  { journal, old }: { journal: TakeoverJournal; old: OldSystem },
): Promise<void> {
  await checkCarved(carving, journal, journal.root.offset)
  if (journal.efi !== null) await requireEsp(host, journal.efi)
  const disk = await host.openRegion(journal.disk.path, { writable: true })
  try {
    // An earlier try that was cut off, or came to nothing.
    await undoCommit(host, disk, journal)
    const plan = await planCommit(host, disk, journal)
    await writeJournal(host, await noted(host, disk, journal, plan))
    // Our loader reads no journal, where a kernel of today still is.
    await carving.settleFileSystem(GRUB)
    await startTrial(host, journal, old)
    if (journal.efi !== null) await installProgram(host, carving, journal.efi)
    await applyFlip(disk, { prepare: plan.prepare, flip: plan.table })
    if ('sector' in plan.flip) await writePieces(disk, [plan.flip.sector])
    else await applyBootChanges(host, startOnceChanges(await readBootVariables(host), plan.flip.option))
  } finally {
    await disk.close()
  }
}

/** Throws what commit would find out too late: `LAYOUT_INVALID`, `TAKEOVER_REFUSED`. */
export async function checkCommit(host: Host, path: string, efi: TakeoverJournal['efi']): Promise<void> {
  const disk = await host.openRegion(path)
  await planCommit(host, disk, { parts: [], efi }).finally(() => disk.close())
}

async function planCommit(host: Host, disk: Region, journal: InTable): Promise<CommitPlan> {
  const found = await readDiskTable(disk)
  const { table, head } = found
  requireNames(table, journal)
  const { prepare, flip } = tableChange(table, withNewSystem(table, journal), head)
  if (journal.efi !== null)
    return { prepare: [...prepare], table: flip, flip: { option: bootOption(table, journal) } }
  const loader = await planBiosLoader(host, disk, found)
  return { prepare: [...prepare, loader.core], table: flip, flip: { sector: loader.boot } }
}

/** With what commit is about to write over. */
async function noted(
  host: Host,
  disk: Region,
  journal: TakeoverJournal,
  { prepare, table, flip }: CommitPlan,
): Promise<TakeoverJournal> {
  const pieces = [...prepare, table, ...('sector' in flip ? [flip.sector] : [])]
  const before = await contentOf(disk, pieces)
  if (journal.efi === null) return { ...journal, before }
  const { next = null } = await readBootVariables(host)
  return { ...journal, before, efi: { ...journal.efi, nextBefore: next } }
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

/**
 * The way back: what decides who starts first, then the header of the table, each alone. Does nothing where commit wrote
 * nothing. Throws `IO_FAILED`.
 */
export async function undoCommit(
  host: Host,
  disk: OpenRegion,
  { before, efi }: TakeoverJournal,
): Promise<void> {
  if (before === null) return
  if (efi !== null)
    await applyBootChanges(host, forgetChanges(await readBootVariables(host), efi.uuid, efi.nextBefore))
  const pieces = before.map(({ offset, content }) => ({ offset, bytes: Buffer.from(content, 'base64') }))
  for (const piece of pieces.reverse()) await writePieces(disk, [piece])
}

/** Slot a as it was rehearsed, with its /etc; and the kernel that the old system has today. */
async function startTrial(host: Host, journal: TakeoverJournal, old: OldSystem): Promise<void> {
  const region = await openOnDisk(host, journal, 'bootstate', true)
  try {
    await writeScript(host, region, scriptOf(journal, old))
    const loader = await findBackend(region)
    // An earlier commit may have left a one-shot that no loader has taken since.
    await loader.change(region, (state) => ({ ...arm(state, 'a', DEFAULT_TRIES, true), next: null }))
    await region.flush()
  } finally {
    await region.close()
  }
}
