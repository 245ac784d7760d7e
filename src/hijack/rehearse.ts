import { findBackend } from '../boot/backend.ts'
import { openLog, writeMeta } from '../boot/grub-state.ts'
import type { OnProgress } from '../core/progress.ts'
import type { Carving } from '../host/extents.ts'
import type { Host } from '../host/host.ts'
import { arm, DEFAULT_TRIES } from '../model/boot-state.ts'
import { rehearsalArguments } from '../model/rehearsal.ts'
import { requireImage } from '../run/require-image.ts'
import { GRUB } from './box-facts.ts'
import { checkCarved } from './carve.ts'
import { firstRecords, openOnDisk, partOf } from './content.ts'
import { SECTOR_BYTES } from './disk-table.ts'
import { ENTRY_ID, type RehearsalEntry, withEntry, withoutEntry, withVariable } from './grub-once.ts'
import { FOLDER, type TakeoverJournal } from './journal.ts'

export interface RehearsalOptions {
  /** Seconds until the old system starts again unless somebody confirms. */
  deadline: number
  /** Healthy is enough. */
  unattended: boolean
  /** The second initrd: addresses, keys and accounts of the old system. */
  captured: Buffer
}

const CUSTOM = `${GRUB}/custom.cfg`
const GRUBENV = `${GRUB}/grubenv`
/** Event of the log: what comes after it is about the start that is asked for. */
export const ASKED = 'rehearse'
const CAPTURED = `${FOLDER}/captured.cpio`

/** Slot a on the disk is the image that was staged. Throws `IMAGE_MISMATCH`. */
export async function verifyStaged(
  host: Host,
  journal: TakeoverJournal,
  onProgress: OnProgress,
): Promise<void> {
  const { digest, bytes } = journal.image
  const region = await openOnDisk(host, journal, 'rootfs-a')
  try {
    const hint = 'dmesg; then "pine-update hijack abort"'
    await requireImage(region, { slot: 'a', digest, bytes, hint }, onProgress)
  } finally {
    await region.close()
  }
}

/**
 * Has the old loader start the new system once. The order is what a crash leaves: an entry that nobody asked for, or one
 * that is asked for and whole. Settling brings what GRUB will read out of the journal of its file system.
 * Throws `CARVE_FAILED`, and `FILE_NOT_FOUND` where the carved file is gone.
 */
export async function armRehearsal(
  host: Host,
  carving: Carving,
  journal: TakeoverJournal,
  options: RehearsalOptions,
): Promise<void> {
  // An abort that was cut off may have given the blocks back: they then belong to another file.
  await checkCarved(carving, journal, journal.root.offset)
  const sequence = await resetTrial(host, journal)
  await host.replaceFile(CAPTURED, options.captured, 0o600)
  const entry = entryFor(journal, options, sequence)
  await startEntryOnce(host, carving, ENTRY_ID, (custom) => withEntry(custom, entry))
}

/** Has the old loader start an entry of custom.cfg, once. The order is that of `armRehearsal`. */
export async function startEntryOnce(
  host: Host,
  { settleFileSystem: settle }: Carving,
  id: string,
  change: (customCfg: string) => string,
): Promise<void> {
  const custom = change((await readCustom(host)) ?? '')
  await replaceAlike(host, CUSTOM, Buffer.from(custom, 'latin1'))
  await settle(FOLDER)
  await settle(GRUB)
  await replaceAlike(host, GRUBENV, withVariable(await host.readFile(GRUBENV), 'next_entry', id))
  await settle(GRUB)
}

/** The old loader starts what it always has. It reads no journal: until that has come to rest it may still be asked. */
export async function disarmRehearsal(host: Host, carving: Carving): Promise<void> {
  await withoutRehearsal(host)
  await carving.settleFileSystem(GRUB)
}

async function withoutRehearsal(host: Host): Promise<void> {
  const block = await host.readFile(GRUBENV)
  if (block !== undefined) await replaceAlike(host, GRUBENV, withVariable(block, 'next_entry', undefined))
  const custom = await readCustom(host)
  if (custom === undefined) return
  const rest = withoutEntry(custom)
  if (rest === '') await host.removeFile(CUSTOM)
  else if (rest !== custom) await replaceAlike(host, CUSTOM, Buffer.from(rest, 'latin1'))
}

/** As latin1: whatever bytes there are come out again. */
async function readCustom(host: Host): Promise<string | undefined> {
  return (await host.readFile(CUSTOM))?.toString('latin1')
}

/** With the mode that it has: where GRUB asks for a password, that is in custom.cfg. */
async function replaceAlike(host: Host, path: string, content: Buffer): Promise<void> {
  const isThere = (await host.kindOf(path)) !== undefined
  const mode = isThere ? await host.exec('stat', ['--dereference', '--format=%a', path]) : undefined
  await host.replaceFile(path, content, mode === undefined ? mode : Number.parseInt(mode, 8))
}

/** A new trial, whatever became of an earlier one. Returns its sequence number. */
async function resetTrial(host: Host, journal: TakeoverJournal): Promise<number> {
  const region = await openOnDisk(host, journal, 'bootstate', true)
  try {
    const loader = await findBackend(region)
    const { sequence } = await loader.change(region, (state) => ({
      ...arm(state, 'a', DEFAULT_TRIES, true),
      last: 'a',
    }))
    await writeMeta(region, firstRecords(journal, host.now()))
    const step = `${journal.image.version} is to be started once`
    const log = await openLog(region)
    await log.append({ at: host.now().toISOString(), intent: 'hijack', event: ASKED, step })
    await region.flush()
    return sequence
  } finally {
    await region.close()
  }
}

function entryFor(
  journal: TakeoverJournal,
  { deadline, unattended }: RehearsalOptions,
  sequence: number,
): RehearsalEntry {
  const { disk, root, parts, append } = journal
  const slot = partOf(journal, 'rootfs-a')
  const ours = ['pine.slot=a', 'pine.gen=00000001', `pine.left=${DEFAULT_TRIES}`, 'pine.st=0']
  const words = [
    ...['root=/dev/loop0', 'ro', 'panic=10', 'oops=panic', 'softlockup_panic=1'],
    ...[...ours, `pine.seq=${String(sequence).padStart(8, '0')}`, `pine.deadline=${deadline}`],
    ...(unattended ? ['pine.unattended=1'] : []),
    ...[rehearsalArguments({ tableId: disk.tableId, parts }), append],
  ]
  return {
    fsUuid: root.fsUuid,
    slot: { start: (slot.offset - root.offset) / SECTOR_BYTES, count: slot.bytes / SECTOR_BYTES },
    captured: CAPTURED,
    arguments: words.join(' ').trim(),
  }
}
