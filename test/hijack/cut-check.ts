import { findBackend } from '../../src/boot/backend.ts'
import { AREA } from '../../src/boot/bootstate-area.ts'
import { embedCore } from '../../src/boot/grub-core.ts'
import { writeScript } from '../../src/boot/new-bootstate.ts'
import { coreInUse } from '../../src/hijack/boot-sector.ts'
import { partOf, scriptOf } from '../../src/hijack/content.ts'
import { convertedTable } from '../../src/hijack/convert.ts'
import { withNewSystem } from '../../src/hijack/disk-table.ts'
import type { TakeoverJournal } from '../../src/hijack/journal.ts'
import type { OldSystem } from '../../src/hijack/old-system.ts'
import { realHost } from '../../src/host/real-host.ts'
import { openRegion } from '../../src/host/region.ts'
import { simulateLoader } from '../../src/model/loader.ts'
import { readMbr } from '../../src/model/mbr.ts'
import { memoryRegion } from '../support/memory-region.ts'
import { type Box, hasMbr } from './box.ts'
import { endsOf, parse, readAt, SECTOR } from './gpt-disk.ts'
import { mbrSeen, READERS, type Seen, seenOf } from './table-readers.ts'

/** What is known of a disk before anything of it is changed. */
export interface Known {
  sector: Buffer
  oldCore: Buffer
  hadMbr: boolean
  /** What follows the code in our boot sector. */
  ourRecords: Buffer
  /** The entries, before and after. */
  oldTable: Seen
  newTable: Seen
  journal: TakeoverJournal
  /** Of our loader, as commit writes it. */
  script: Buffer
  loaders: Box['loaders']
}

/** Of a box whose takeover is not committed; `old` is what commit will be told. */
export async function knownOf(
  { disk, loaders }: Box,
  { journal, old }: { journal: TakeoverJournal; old: OldSystem },
): Promise<Known> {
  const { offset, bytes } = AREA['grub.cfg']
  const area = Buffer.alloc(offset + bytes)
  await writeScript(realHost(), memoryRegion(area), scriptOf(journal, old))
  return {
    script: area.subarray(offset),
    sector: readAt(disk, 0, SECTOR),
    oldCore: await coreLoaded(disk, readAt(disk, 0, SECTOR)),
    hadMbr: hasMbr(disk),
    ...(await tablesOf(disk, journal)),
    journal,
    loaders,
  }
}

async function tablesOf(
  disk: string,
  journal: TakeoverJournal,
): Promise<Pick<Known, 'oldTable' | 'newTable' | 'ourRecords'>> {
  if (!hasMbr(disk)) {
    const table = parse(endsOf(disk))
    const newTable = seenOf(withNewSystem(table, journal))
    return { oldTable: seenOf(table), newTable, ourRecords: readAt(disk, 440, 72) }
  }
  const mbr = await readMbr(async (lba) => readAt(disk, lba * SECTOR, SECTOR), endsOf(disk).bytes / SECTOR)
  // UEFI 2.10 table 5-4; active as one of the old ones was.
  const record = Buffer.from('80000200eeffffff01000000ffff0f00', 'hex')
  const ourRecords = Buffer.concat([readAt(disk, 440, 6), record, Buffer.alloc(48), readAt(disk, 510, 2)])
  return { oldTable: mbrSeen(disk), newTable: seenOf(convertedTable(mbr, journal)), ourRecords }
}

/** GRUB as the firmware would load it: whatever boot sector and list lead to, the addresses themselves apart. */
async function coreLoaded(disk: string, sector: Buffer): Promise<Buffer> {
  const read = async (lba: number, count: number) => readAt(disk, lba * SECTOR, count * SECTOR)
  const runs = await coreInUse(sector, read)
  const core = Buffer.concat(runs.map(({ lba, sectors }) => readAt(disk, lba * SECTOR, sectors * SECTOR)))
  for (const index of runs.keys()) if (index > 0) core.fill(0, LIST - 12 * index, LIST - 12 * index + 8)
  return core
}

const LIST = 512
const ADDRESS = { from: 0x5c, to: 0x64 }

/** On a disk that had an MBR the code may have another address for the same loader. Of a GPT ours differs in nothing else. */
function isOldSector(sector: Buffer, { sector: old, hadMbr }: Known): boolean {
  const apart = (of: Buffer) => (hadMbr ? Buffer.from(of).fill(0, ADDRESS.from, ADDRESS.to) : of)
  return apart(sector).equals(apart(old))
}

/** What a machine that starts from that disk would miss. Both systems are on it at any time, and one of them starts. */
export async function startProblems(disk: string, known: Known): Promise<string[]> {
  const sector = readAt(disk, 0, SECTOR)
  const isOld = isOldSector(sector, known)
  const problems = (await hasOldLoader(disk, isOld ? sector : known.sector, known))
    ? []
    : ['the old core is damaged']
  const allowed = isOld ? [known.oldTable, known.newTable] : [known.newTable]
  for (const [name, read] of Object.entries(READERS))
    if (!allowed.includes(hasMbr(disk) ? mbrSeen(disk) : read(endsOf(disk))))
      problems.push(`${name} finds another table, with ${isOld ? 'the old' : 'our'} boot sector`)
  return isOld ? problems : [...problems, ...(await ourProblems(disk, sector, known))]
}

/** From a disk that had an MBR it starts no longer where ours does: `abort` brings it back. */
async function hasOldLoader(disk: string, sector: Buffer, known: Known): Promise<boolean> {
  if (known.hadMbr && !hasMbr(disk)) return true
  const found = await coreLoaded(disk, sector).catch(() => undefined)
  return found?.equals(known.oldCore) ?? false
}

function isCore(disk: string, coreLba: number, image: Box['loaders']['old']): boolean {
  const { core } = embedCore(image, { coreLba, availableBytes: image.core.length })
  return readAt(disk, coreLba * SECTOR, core.length).equals(core)
}

async function ourProblems(disk: string, sector: Buffer, known: Known): Promise<string[]> {
  const { loaders, journal, script } = known
  const read = async (lba: number, count: number) => readAt(disk, lba * SECTOR, count * SECTOR)
  // The sector says where; what is there may be anything.
  const coreLba = Number(sector.readBigUInt64LE(0x5c))
  const { bootCode } = embedCore(loaders.ours, { coreLba, availableBytes: loaders.ours.core.length })
  const problems: string[] = []
  if (!sector.equals(Buffer.concat([bootCode, known.ourRecords])))
    return ['the boot sector is neither old nor ours']
  if (!isCore(disk, coreLba, loaders.ours)) problems.push('our core is not whole')
  else if ((await coreInUse(sector, read)).length !== 2) problems.push('our core names other sectors')
  const region = await openRegion(disk, partOf(journal, 'bootstate'))
  try {
    const state = await (await findBackend(region)).readAsLoader(region)
    const { confirmed = true, left = 0 } = state?.slots.a ?? {}
    if (simulateLoader(state, () => true).pick !== 'a' || confirmed || left !== 3)
      problems.push('our loader does not start a trial of slot a')
    const { offset, bytes } = AREA['grub.cfg']
    const found = Buffer.alloc(bytes)
    await region.read(found, offset)
    if (!found.equals(script)) problems.push('the script of our loader does not know the old system of today')
  } finally {
    await region.close()
  }
  return problems
}
