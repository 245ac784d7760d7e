import { findBackend } from '../boot/backend.ts'
import { writeScript } from '../boot/new-bootstate.ts'
import type { OpenRegion, Region } from '../core/region.ts'
import type { Carving } from '../host/extents.ts'
import type { Host } from '../host/host.ts'
import { arm, DEFAULT_TRIES } from '../model/boot-state.ts'
import type { GptPiece } from '../model/gpt.ts'
import { GRUB } from './box-facts.ts'
import { checkCarved } from './carve.ts'
import { type CommitRequest, planCommit } from './commit-plan.ts'
import { openOnDisk, scriptOf } from './content.ts'
import { type TakeoverJournal, writeJournal } from './journal.ts'
import type { OldSystem } from './old-system.ts'
import { applyFlip, writePieces } from './pieces.ts'

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
    const flips = await planCommit(host, disk, journal)
    const pieces = flips.flatMap(({ prepare, flip }) => [...prepare, flip])
    await writeJournal(host, { ...journal, before: await contentOf(disk, pieces) })
    // Our loader reads no journal, where a kernel of today still is.
    await carving.settleFileSystem(GRUB)
    await startTrial(host, journal, old)
    for (const flip of flips) await applyFlip(disk, flip)
  } finally {
    await disk.close()
  }
}

/** Throws what commit would find out too late: `LAYOUT_INVALID`, `TAKEOVER_REFUSED`. */
export async function checkCommit(host: Host, path: string, root?: CommitRequest['root']): Promise<void> {
  const disk = await host.openRegion(path)
  await planCommit(host, disk, { parts: [], ...(root && { root }) }).finally(() => disk.close())
}

/** What each piece writes over, for the way back: what is there now, or an earlier piece. */
async function contentOf(disk: Region, pieces: readonly GptPiece[]): Promise<TakeoverJournal['before']> {
  const before: { offset: number; content: string }[] = []
  for (const [index, { offset, bytes }] of pieces.entries()) {
    const earlier = pieces.slice(0, index).findLast((piece) => piece.offset === offset)
    const content = earlier?.bytes ?? (await contentAt(disk, offset, bytes.length))
    before.push({ offset, content: content.toString('base64') })
  }
  return before
}

async function contentAt(disk: Region, offset: number, length: number): Promise<Buffer> {
  const content = Buffer.alloc(length)
  await disk.read(content, offset)
  return content
}

/**
 * The way back: what was written last comes first, so that the boot sector does, each piece alone. What it was between two
 * flips is written only where something of the second one has to go: a commit that was cut off before it may have left no
 * copy of the old loader to start from. Does nothing where commit wrote nothing.
 */
export async function writeBack(disk: OpenRegion, { before }: TakeoverJournal): Promise<void> {
  const pieces = (before ?? []).map(({ offset, content }) => ({
    offset,
    bytes: Buffer.from(content, 'base64'),
  }))
  // What is found below has to be on the disk: a process that was killed may have left it in memory.
  if (pieces.length > 0) await disk.flush()
  for (const [index, piece] of [...pieces.entries()].reverse()) {
    const earlier = pieces.findLastIndex(({ offset }, other) => other < index && offset === piece.offset)
    const isBack = earlier >= 0 && (await areThere(disk, pieces.slice(earlier + 1, index)))
    if (!isBack) await writePieces(disk, [piece])
  }
}

async function areThere(disk: Region, pieces: readonly GptPiece[]): Promise<boolean> {
  for (const { offset, bytes } of pieces)
    if (!(await contentAt(disk, offset, bytes.length)).equals(bytes)) return false
  return true
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
