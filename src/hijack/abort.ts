import type { Carving } from '../host/extents.ts'
import type { Host } from '../host/host.ts'
import { removeService } from './auto-service.ts'
import { releaseCarved } from './carve.ts'
import { removeProgram, requireEsp } from './esp.ts'
import { FOLDER, JOURNAL, type TakeoverJournal } from './journal.ts'
import { disarmRehearsal } from './rehearse.ts'
import { disarmShrink } from './shrink.ts'
import { stopSwapping } from './swap-off.ts'
import { undoCommit } from './undo-commit.ts'

/**
 * From the old system: its disk and files as they were before. What decides what boots comes first, and the journal goes
 * last: after a power cut in between the same command does the rest.
 */
export async function abortTakeover(host: Host, carving: Carving, journal: TakeoverJournal): Promise<void> {
  const { before, efi } = journal
  if (before !== null && efi !== null) await requireEsp(host, efi)
  await stopSwapping(host, journal)
  await removeService(host)
  if (before !== null) {
    const disk = await host.openRegion(journal.disk.path, { writable: true })
    await undoCommit(host, disk, journal).finally(() => disk.close())
    if (efi !== null) await removeProgram(host, carving, efi)
  }
  await disarmShrink(host, carving)
  await disarmRehearsal(host, carving)
  await releaseCarved(host, carving, journal.file)
  await removeFolder(host)
}

/** What was captured holds keys and passwords: it must not stay behind when nobody knows of it any more. */
async function removeFolder(host: Host): Promise<void> {
  const paths = (await host.listFolder(FOLDER)).map((name) => `${FOLDER}/${name}`)
  await host.exec('rm', ['-rf', ...paths.filter((path) => path !== JOURNAL)])
  await host.exec('rm', ['-rf', FOLDER])
}
