import { PineError } from '../core/error.ts'
import {
  arrayCrc,
  arraySectors,
  type CopyName,
  encodeHeader,
  type GptCopy,
  PRIMARY_LBA,
  type ReadSectors,
  readCopy,
} from './gpt-copy.ts'
import { decodeEntry, ENTRY_BYTES, encodeEntry, type GptEntry } from './gpt-entry.ts'

/** A GUID partition table. UEFI 2.10 §5.3 */
export interface GptTable {
  sectorBytes: number
  /** The last sector of the disk: the header of the backup. */
  lastLba: number
  /** Lower case. */
  diskGuid: string
  /** First and last sector that partitions may have. */
  firstUsable: number
  lastUsable: number
  /** By their numbers. They may overlap. */
  entries: readonly GptEntry[]
  /** How many there is room for. */
  entryCount: number
  /** Where the entries begin, in each copy. */
  arrayLba: Readonly<Record<CopyName, number>>
  /** Which copies hold this table. Readers take the primary where it is whole. */
  intact: 'both' | CopyName
  /** As it was read, for what is not known here. */
  raw: { readonly header: Buffer; readonly array: Buffer }
}

/** How much of a disk `parseGpt` wants: it holds all tables that are made, and the space before the first partition. */
export const GPT_HEAD_BYTES = 1024 * 1024
export const GPT_TAIL_BYTES = 64 * 1024

/**
 * Reads the table from the first and the last bytes of a disk with that many bytes. Sectors have 512 or 4096 bytes.
 * Nothing but what is checked here is needed to write it back bit for bit. Throws `LAYOUT_INVALID` with what is wrong.
 */
export function parseGpt(
  head: Uint8Array,
  tail: Uint8Array,
  diskBytes: number,
  sectorBytes: number,
): GptTable {
  if (sectorBytes !== 512 && sectorBytes !== 4096)
    throw invalid([`the disk has sectors of ${sectorBytes} bytes`])
  if (!isProtected(Buffer.from(head))) throw invalid(['its first sector does not say that there is a GPT'])
  const lastLba = Math.floor(diskBytes / sectorBytes) - 1
  const read = sectorReader({ head, tail, tailStart: diskBytes - tail.length }, sectorBytes)
  const primary = readCopy(PRIMARY_LBA, sectorBytes, read)
  const backup = readCopy(lastLba, sectorBytes, read)
  const good = typeof primary === 'string' ? backup : primary
  if (typeof good === 'string') throw invalid([`the table: ${primary}`, `its backup: ${good}`])
  const table = toTable(good, { primary, backup }, { lastLba, sectorBytes })
  const problems = [...endProblems(good, lastLba), ...placeProblems(table)]
  if (problems.length > 0) throw invalid(problems)
  return table
}

/** Type ee, from sector 1 on: without it the kernel looks no further. block/partitions/efi.c, `is_pmbr_valid` */
export function isProtected(head: Buffer): boolean {
  if (head.length < 512 || head.readUInt16LE(510) !== 0xaa55) return false
  const records = [446, 462, 478, 494]
  return records.some((at) => head[at + 4] === 0xee && head.readUInt32LE(at + 8) === 1)
}

interface KnownBytes {
  head: Uint8Array
  tail: Uint8Array
  tailStart: number
}

function sectorReader({ head, tail, tailStart }: KnownBytes, sectorBytes: number): ReadSectors {
  return (lba, count) => {
    const [start, end] = [lba * sectorBytes, (lba + count) * sectorBytes]
    if (end <= head.length) return Buffer.from(head.subarray(start, end))
    if (start < tailStart || end > tailStart + tail.length) return undefined
    return Buffer.from(tail.subarray(start - tailStart, end - tailStart))
  }
}

type Found = Record<CopyName, GptCopy | string>

function toTable(good: GptCopy, copies: Found, disk: Pick<GptTable, 'lastLba' | 'sectorBytes'>): GptTable {
  const { diskGuid, firstUsable, lastUsable, entryCount } = good.header
  const { primary, backup } = copies
  const backupLba = disk.lastLba - arraySectors(entryCount, disk.sectorBytes)
  return {
    ...disk,
    ...{ diskGuid, firstUsable, lastUsable, entryCount },
    entries: entriesOf(good.array, entryCount),
    arrayLba: {
      primary: typeof primary === 'string' ? PRIMARY_LBA + 1 : primary.header.arrayLba,
      backup: isLike(backup, good) ? backup.header.arrayLba : backupLba,
    },
    intact: typeof primary === 'string' ? 'backup' : isLike(backup, primary) ? 'both' : 'primary',
    raw: { header: good.sector, array: good.array },
  }
}

function isLike(copy: GptCopy | string, other: GptCopy): copy is GptCopy {
  if (typeof copy === 'string') return false
  const identity = ({ header }: GptCopy) => {
    const { diskGuid, firstUsable, lastUsable, entryCount, arrayCrc } = header
    return [diskGuid, firstUsable, lastUsable, entryCount, arrayCrc].join()
  }
  return identity(copy) === identity(other)
}

function entriesOf(array: Buffer, entryCount: number): GptEntry[] {
  return Array.from({ length: entryCount }, (_, index) => index).flatMap((index) => {
    const bytes = array.subarray(index * ENTRY_BYTES, (index + 1) * ENTRY_BYTES)
    return decodeEntry(bytes, index + 1) ?? []
  })
}

/** A disk that was enlarged has its backup in the middle, where it would become part of a partition. */
function endProblems({ header }: GptCopy, lastLba: number): string[] {
  const end = Math.max(header.myLba, header.alternateLba)
  return end === lastLba ? [] : [`it ends at sector ${end}, the disk at sector ${lastLba}`]
}

/** What is written for the table must not be in a partition. */
function placeProblems(table: GptTable): string[] {
  const { entries, firstUsable, lastUsable, lastLba, arrayLba, entryCount, sectorBytes } = table
  const sectors = arraySectors(entryCount, sectorBytes)
  const problems = entries
    .filter(({ firstLba, lastLba: last }) => firstLba < firstUsable || last > lastUsable || firstLba > last)
    .map(({ number }) => `partition ${number} is not where partitions may be`)
  const isIn = (lba: number, from: number, to: number) => lba >= from && lba + sectors <= to
  if (
    !isIn(arrayLba.primary, PRIMARY_LBA + 1, firstUsable) ||
    !isIn(arrayLba.backup, lastUsable + 1, lastLba)
  )
    problems.push('its entries are where partitions may be')
  return problems
}

/** Bytes and where they go, in bytes of the disk. */
export interface GptPiece {
  offset: number
  bytes: Buffer
}

export interface GptPieces {
  /** One sector. */
  header: GptPiece
  /** Whole sectors. */
  entries: GptPiece
}

/** Both copies. Those of a table that was parsed are as they were on the disk, where they were intact. */
export function encodeGpt(table: GptTable): Record<CopyName, GptPieces> {
  const array = Buffer.from(table.raw.array)
  const byNumber = new Map(table.entries.map((entry) => [entry.number, entry]))
  for (let number = 1; number <= table.entryCount; number++) {
    const place = array.subarray((number - 1) * ENTRY_BYTES, number * ENTRY_BYTES)
    const entry = byNumber.get(number)
    if (entry !== undefined) encodeEntry(entry).copy(place)
    else if (decodeEntry(place, number) !== undefined) place.fill(0)
  }
  const pieces = (name: CopyName) => encodeCopy(table, name, array)
  return { primary: pieces('primary'), backup: pieces('backup') }
}

function encodeCopy(table: GptTable, name: CopyName, array: Buffer): GptPieces {
  const { sectorBytes, lastLba, raw, entryCount, diskGuid, firstUsable, lastUsable } = table
  const [myLba, alternateLba] = name === 'primary' ? [PRIMARY_LBA, lastLba] : [lastLba, PRIMARY_LBA]
  const arrayLba = table.arrayLba[name]
  const values = { arrayLba, entryCount, diskGuid, firstUsable, lastUsable }
  const header = { ...values, myLba, alternateLba, arrayCrc: arrayCrc(array, entryCount) }
  return {
    header: { offset: myLba * sectorBytes, bytes: encodeHeader(raw.header, header) },
    entries: { offset: arrayLba * sectorBytes, bytes: array },
  }
}

function invalid(problems: string[]): PineError {
  return new PineError('LAYOUT_INVALID', `the partition table cannot be used: ${problems.join('; ')}`, {
    hint: 'look at it with "sfdisk --verify", and put it right first; "sfdisk --relocate gpt-bak-std" is for a disk that was enlarged',
  })
}
