import type { Carving } from '../host/extents.ts'
import type { Host } from '../host/host.ts'
import { releaseCarved } from './carve.ts'
import { writeBack } from './commit.ts'
import { partOf } from './content.ts'
import { FOLDER, JOURNAL, type TakeoverJournal } from './journal.ts'
import { disarmRehearsal } from './rehearse.ts'

/**
 * From the old system: its disk and files as they were before. What decides what boots comes first, and the journal goes
 * last: after a power cut in between the same command does the rest.
 */
export async function abortTakeover(host: Host, carving: Carving, journal: TakeoverJournal): Promise<void> {
  if (journal.before !== null) {
    await leaveSwap(host, journal)
    const disk = await host.openRegion(journal.disk.path, { writable: true })
    await writeBack(disk, journal).finally(() => disk.close())
  }
  await disarmRehearsal(host, carving)
  await releaseCarved(host, carving, journal.file)
  await removeFolder(host)
}

/**
 * Once it is in the table the swap partition of the new system is one that systemd-gpt-auto-generator(8) turns on, in the old
 * system as well: its blocks must not be given back while the kernel writes to them.
 */
async function leaveSwap(host: Host, journal: TakeoverJournal): Promise<void> {
  const device = await host.realPath(`/dev/disk/by-partuuid/${partOf(journal, 'swap').uuid}`)
  const swaps = ((await host.readFile('/proc/swaps')) ?? '').toString().split('\n')
  const isOn = device !== undefined && swaps.some((line) => line.split(/\s/)[0] === device)
  if (isOn) await host.exec('swapoff', [device], { timeoutMs: 600_000 })
}

/** What was captured holds keys and passwords: it must not stay behind when nobody knows of it any more. */
async function removeFolder(host: Host): Promise<void> {
  const paths = (await host.listFolder(FOLDER)).map((name) => `${FOLDER}/${name}`)
  await host.exec('rm', ['-rf', ...paths.filter((path) => path !== JOURNAL)])
  await host.exec('rm', ['-rf', FOLDER])
}
