import { findBackend } from '../boot/backend.ts'
import { applyBootChanges, readBootVariables } from '../boot/firmware-variables.ts'
import { writeScript } from '../boot/new-bootstate.ts'
import type { Region } from '../core/region.ts'
import type { Carving } from '../host/extents.ts'
import type { Host } from '../host/host.ts'
import { arm, DEFAULT_TRIES } from '../model/boot-state.ts'
import { startOnceChanges } from '../model/boot-variables.ts'
import { GRUB } from './box-facts.ts'
import { checkCarved } from './carve.ts'
import { type CommitPlan, type CommitRequest, planCommit } from './commit-plan.ts'
import { openOnDisk, scriptOf } from './content.ts'
import { installProgram, requireEsp } from './esp.ts'
import { type TakeoverJournal, writeJournal } from './journal.ts'
import type { OldSystem } from './old-system.ts'
import { applyFlip } from './pieces.ts'
import { contentBefore, undoCommit } from './undo-commit.ts'

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
    for (const flip of plan.flips) await applyFlip(disk, flip)
    if (plan.option !== undefined)
      await applyBootChanges(host, startOnceChanges(await readBootVariables(host), plan.option))
  } finally {
    await disk.close()
  }
}

/** Throws what commit would find out too late: `LAYOUT_INVALID`, `TAKEOVER_REFUSED`. */
export async function checkCommit(
  host: Host,
  path: string,
  request: Omit<CommitRequest, 'parts'>,
): Promise<void> {
  const disk = await host.openRegion(path)
  await planCommit(host, disk, { parts: [], ...request }).finally(() => disk.close())
}

/** With what commit is about to write over. */
async function noted(
  host: Host,
  disk: Region,
  journal: TakeoverJournal,
  { flips }: CommitPlan,
): Promise<TakeoverJournal> {
  const before = await contentBefore(
    disk,
    flips.flatMap(({ prepare, flip }) => [...prepare, flip]),
  )
  if (journal.efi === null) return { ...journal, before }
  const { next = null } = await readBootVariables(host)
  return { ...journal, before, efi: { ...journal.efi, nextBefore: next } }
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
