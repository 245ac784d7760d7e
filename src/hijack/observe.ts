import { findBackend } from '../boot/backend.ts'
import type { LogEvent } from '../boot/event-log.ts'
import { readBootVariables } from '../boot/firmware-variables.ts'
import { readLog, readMeta } from '../boot/grub-state.ts'
import { PineError } from '../core/error.ts'
import type { Region } from '../core/region.ts'
import type { Host } from '../host/host.ts'
import { isChosen, ourNumbers } from '../model/boot-variables.ts'
import { parseRecords } from '../model/records.ts'
import { readCmdline } from '../run/disk.ts'
import { GRUB } from './box-facts.ts'
import { openOnDisk } from './content.ts'
import { readBootSector } from './disk-table.ts'
import { ENTRY_ID, variableIn } from './grub-once.ts'
import { type EfiJournal, readJournal, type TakeoverJournal } from './journal.ts'
import { ASKED } from './rehearse.ts'
import type { TakeoverFacts } from './takeover-state.ts'

/** Looks at a takeover from the old system. Undefined where none has begun. Throws `TAKEOVER_DAMAGED`. */
export async function observeTakeover(host: Host): Promise<TakeoverFacts | undefined> {
  const journal = await readJournal(host)
  if (journal === undefined) return undefined
  const cmdline = await readCmdline(host)
  const next = variableIn(await host.readFile(`${GRUB}/grubenv`), 'next_entry')
  return {
    journal,
    isArmed: next === ENTRY_ID,
    isFallback: cmdline.get('pine.slot') === 'r',
    ...(await readBootstate(host, journal)),
    ...(journal.efi === null
      ? { isFlipped: await isFlipped(host, journal), wasGivenOneStart: false }
      : await chosenByFirmware(host, journal, journal.efi)),
  }
}

type Bootstate = Pick<TakeoverFacts, 'boot' | 'records' | 'lastBoot'>

async function readBootstate(host: Host, journal: TakeoverJournal): Promise<Bootstate> {
  const none = { boot: undefined, records: undefined, lastBoot: undefined }
  if (!journal.isStaged) return none
  const region = await openOnDisk(host, journal, 'bootstate')
  try {
    await region.dropCache()
    const loader = await findBackend(region)
    const records = parseRecords(await readMeta(region))
    return { boot: await loader.read(region), records, lastBoot: await lastBootOn(region) }
  } catch (error) {
    if (error instanceof PineError && DAMAGED.includes(error.code)) return none
    throw error
  } finally {
    await region.close()
  }
}

/** Since somebody last asked for a start; see `ASKED`. */
async function lastBootOn(region: Region): Promise<LogEvent | undefined> {
  const events = (await readLog(region)).map(({ event }) => event)
  const since = events.slice(events.findLastIndex(({ event }) => event === ASKED) + 1)
  return since.findLast(({ event }) => event === 'boot')
}

const DAMAGED: readonly string[] = ['BOOT_STATE_INVALID', 'NOT_A_PINE_DISK']

/** Before commit an option of ours is one that somebody else's takeover of this machine has left. */
async function chosenByFirmware(
  host: Host,
  { before }: TakeoverJournal,
  { uuid }: EfiJournal,
): Promise<Pick<TakeoverFacts, 'isFlipped' | 'wasGivenOneStart'>> {
  if (before === null) return { isFlipped: false, wasGivenOneStart: false }
  const variables = await readBootVariables(host)
  const isFlipped = isChosen(variables, uuid)
  return { isFlipped, wasGivenOneStart: !isFlipped && ourNumbers(variables, uuid).length > 0 }
}

/** The boot sector is none of those that the old system had when commit noted them. */
async function isFlipped(host: Host, { before, disk }: TakeoverJournal): Promise<boolean> {
  const noted = (before ?? []).filter(({ offset }) => offset === 0)
  if (noted.length === 0) return false
  const sector = await readBootSector(host, disk.path)
  return noted.every(({ content }) => !sector.equals(Buffer.from(content, 'base64')))
}
