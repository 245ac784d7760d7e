import { PineError } from '../core/error.ts'

/** A partition of an MBR that holds something: a primary or a logical one. */
export interface MbrPartition {
  /** As the kernel and GRUB count: primaries 1 to 4 by their place, logical ones from 5 on in the order of the chain. */
  number: number
  type: number
  firstLba: number
  /** Still part of it. */
  lastLba: number
}

/** A partition table of the kind that DOS had, with its chain of logical partitions. */
export interface MbrTable {
  /** Eight hex digits, lower case, as libblkid prints them; `00000000` where there is none. */
  signature: string
  /** The last sector of the disk. */
  lastLba: number
  partitions: readonly MbrPartition[]
  /** The first sector that belongs to a partition or to what describes one; before it is the gap that GRUB lies in. */
  gapEnd: number
  /** The last one of them. */
  lastTaken: number
}

/** Reads one sector of 512 bytes. */
export type ReadSector = (lba: number) => Promise<Buffer>

const SECTOR_BYTES = 512
const SIGNATURE = 440
const FIRST_RECORD = 446
const RECORD_BYTES = 16
const MAGIC = 510
const MAGIC_VALUE = 0xaa55
/** Types that say where logical partitions are: CHS, LBA, Linux. block/partitions/msdos.c, `is_extended_partition` */
const EXTENDED: readonly number[] = [0x05, 0x0f, 0x85]
const PROTECTIVE = 0xee
const FIRST_LOGICAL = 5
/** The kernel gives up behind so many links. */
const MOST_LINKS = 100

interface Run {
  firstLba: number
  lastLba: number
}

interface Found extends Run {
  type: number
  index: number
}

/**
 * Reads the table of a disk with so many sectors of 512 bytes. What the kernel and GRUB would number in different ways, or
 * what is in two places at once, is refused. Throws `LAYOUT_INVALID`.
 */
export async function readMbr(read: ReadSector, diskSectors: number): Promise<MbrTable> {
  const sector = await read(0)
  const disk: Run = { firstLba: 1, lastLba: diskSectors - 1 }
  const records = recordsOf(sector, 0, 0)
  if (records.some(({ type }) => type === PROTECTIVE)) throw invalid('it only says that there is a GPT')
  for (const record of records) requireInside(record, disk)
  const outer = records.filter(isExtended)
  const [extended, second] = outer
  if (second !== undefined) throw invalid(`there are ${outer.length} extended partitions`)
  const primaries = records.filter((record) => !isExtended(record))
  const chain = extended === undefined ? NO_CHAIN : await readChain(read, extended)
  requireApart([...primaries, ...outer])
  requireApart([...chain.logical, ...chain.links])
  return {
    signature: sector.readUInt32LE(SIGNATURE).toString(16).padStart(8, '0'),
    lastLba: disk.lastLba,
    partitions: [
      ...primaries.map((record) => toPartition(record, record.index + 1)),
      ...chain.logical.map((record, index) => toPartition(record, index + FIRST_LOGICAL)),
    ],
    gapEnd: Math.min(diskSectors, ...records.map(({ firstLba }) => firstLba)),
    // An extended partition is only room: what is in it counts.
    lastTaken: Math.max(0, ...[...primaries, ...chain.logical, ...chain.links].map(({ lastLba }) => lastLba)),
  }
}

interface Chain {
  logical: Found[]
  /** The sectors of the chain itself. */
  links: Run[]
}

const NO_CHAIN: Chain = { logical: [], links: [] }

/** Each link names one logical partition, counted from itself, and the next link, counted from the first one. */
async function readChain(read: ReadSector, extended: Found): Promise<Chain> {
  const chain: Chain = { logical: [], links: [] }
  let at: number | undefined = extended.firstLba
  while (at !== undefined) {
    const lba: number = at
    if (chain.links.some(({ firstLba }) => firstLba === lba))
      throw invalid(`the chain of logical partitions comes back to sector ${lba}`)
    if (chain.links.length === MOST_LINKS)
      throw invalid(`the chain of logical partitions has more than ${MOST_LINKS} links`)
    chain.links.push({ firstLba: lba, lastLba: lba })
    const sector = await read(lba)
    const [data, ...moreData] = recordsOf(sector, lba, lba).filter((record) => !isExtended(record))
    const [next, ...moreNext] = recordsOf(sector, lba, extended.firstLba).filter(isExtended)
    if (moreData.length + moreNext.length > 0)
      throw invalid(`sector ${lba} describes more than one logical partition`)
    if (data !== undefined) requireInside(data, extended)
    // How long the rest of the chain is said to be nobody reads.
    if (next !== undefined) requireInside({ firstLba: next.firstLba, lastLba: next.firstLba }, extended)
    if (data !== undefined) chain.logical.push(data)
    at = next?.firstLba
  }
  return chain
}

/** Those in use, in their places. `base`: what their sectors are counted from. */
function recordsOf(sector: Buffer, lba: number, base: number): Found[] {
  if (sector.length !== SECTOR_BYTES || sector.readUInt16LE(MAGIC) !== MAGIC_VALUE)
    throw invalid(`sector ${lba} does not end as one with a partition table`)
  return [0, 1, 2, 3].flatMap((index) => {
    const at = FIRST_RECORD + index * RECORD_BYTES
    const [status = 0, type = 0] = [sector[at], sector[at + 4]]
    const [start, sectors] = [sector.readUInt32LE(at + 8), sector.readUInt32LE(at + 12)]
    // The kernel goes by the size, GRUB by the type: where only one of them is zero they count differently.
    if (sectors === 0 && type === 0) return []
    if (sectors === 0 || type === 0)
      throw invalid(`record ${index + 1} of sector ${lba} has type ${type} and ${sectors} sectors`)
    if (status !== 0 && status !== 0x80)
      throw invalid(`record ${index + 1} of sector ${lba} begins with ${status}`)
    return [{ index, type, firstLba: base + start, lastLba: base + start + sectors - 1 }]
  })
}

function isExtended({ type }: Found): boolean {
  return EXTENDED.includes(type)
}

function toPartition({ type, firstLba, lastLba }: Found, number: number): MbrPartition {
  return { number, type, firstLba, lastLba }
}

function requireInside({ firstLba, lastLba }: Run, outer: Run): void {
  if (outer.firstLba <= firstLba && lastLba <= outer.lastLba) return
  const found = `a partition is at ${firstLba} to ${lastLba}`
  throw invalid(`${found}, outside of ${outer.firstLba} to ${outer.lastLba}`)
}

function requireApart(runs: readonly Run[]): void {
  const inOrder = [...runs].sort((one, other) => one.firstLba - other.firstLba)
  for (const [index, { lastLba }] of inOrder.entries()) {
    const next = inOrder[index + 1]
    if (next !== undefined && next.firstLba <= lastLba)
      throw invalid(`two partitions have sector ${next.firstLba}`)
  }
}

/**
 * The sector with the record that has readers look for a GPT, in place of its partitions; code and signature stay. The record
 * is active where one of the old ones was: some BIOSes start no disk without. UEFI 2.10 §5.2.3
 */
export function protectiveSector(sector: Uint8Array, lastLba: number): Buffer {
  const after = Buffer.from(sector)
  const isActive = [0, 1, 2, 3].some((index) => after[FIRST_RECORD + index * RECORD_BYTES] === 0x80)
  after.fill(0, FIRST_RECORD, MAGIC)
  after.set([isActive ? 0x80 : 0, 0, 2, 0, PROTECTIVE, 0xff, 0xff, 0xff], FIRST_RECORD)
  after.writeUInt32LE(1, FIRST_RECORD + 8)
  after.writeUInt32LE(Math.min(lastLba, 0xffffffff), FIRST_RECORD + 12)
  return after
}

function invalid(problem: string): PineError {
  return new PineError('LAYOUT_INVALID', `the partition table (MBR) cannot be used: ${problem}`, {
    hint: 'look at it with "sfdisk --verify", and put it right first',
  })
}
