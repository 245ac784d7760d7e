import { createHash } from 'node:crypto'
import { PineError } from '../core/error.ts'
import { encodeGpt, type GptPiece, type GptTable } from '../model/gpt.ts'
import { arraySectors, PRIMARY_LBA } from '../model/gpt-copy.ts'
import { addEntries, freeNumbers } from '../model/gpt-edit.ts'
import { ENTRY_BYTES, type GptEntry } from '../model/gpt-entry.ts'
import type { MbrPartition, MbrTable } from '../model/mbr.ts'
import { BIOS_BOOT, LINUX, SECTOR_BYTES } from './disk-table.ts'
import { roomForLists } from './table-change.ts'

const ENTRY_COUNT = 128
const ARRAY_SECTORS = arraySectors(ENTRY_COUNT, SECTOR_BYTES)
/** From here on the gap before the first partition is for loaders; the sectors before it are the table's. */
export const GAP_START = roomForLists(SECTOR_BYTES, ENTRY_COUNT)
/** What a backup takes at the end of the disk. */
const BACKUP_SECTORS = ARRAY_SECTORS + 1
const SWAP = '0657fd6d-a4ab-43c4-84e5-0933c84b4f4f'
const BASIC_DATA = 'ebd0a0a2-b9e5-4433-87c0-68b6b72699c7'
/** Of an MBR nobody mounts or swaps anything unasked. Discoverable Partitions Specification, "no-auto" */
const NO_AUTO = 1n << 63n
/** As gdisk translates them; all else is "Linux". */
const TYPES: Readonly<Record<number, string>> = {
  7: BASIC_DATA,
  11: BASIC_DATA,
  12: BASIC_DATA,
  130: SWAP,
  142: 'e6d6d379-f507-44c2-a23c-238f2a3df928',
  239: 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b',
  253: 'a19d880f-05fc-4d3b-a006-743f0f84911e',
}

/**
 * The same partitions with the same numbers as a GPT, and the gap before them as that of the loaders, with the lowest number
 * that is free. The same `seed` gives the same GUIDs. Throws `TAKEOVER_REFUSED` where the disk has no room for it.
 */
export function tableFromMbr(mbr: MbrTable, seed: string): GptTable {
  const { lastLba, gapEnd, partitions } = mbr
  requireRoom(mbr)
  const empty: GptTable = {
    ...{ sectorBytes: SECTOR_BYTES, lastLba, entries: [], entryCount: ENTRY_COUNT, intact: 'both' },
    ...{ diskGuid: guidFrom(seed, 'disk'), firstUsable: GAP_START, lastUsable: lastLba - BACKUP_SECTORS },
    arrayLba: { primary: PRIMARY_LBA + 1, backup: lastLba - ARRAY_SECTORS },
    raw: { header: emptyHeader(), array: Buffer.alloc(ENTRY_COUNT * ENTRY_BYTES) },
  }
  const table = addEntries(
    empty,
    partitions.map((partition) => toEntry(partition, seed)),
  )
  const [number = 0] = freeNumbers(table, 1)
  const place = { firstLba: GAP_START, lastLba: gapEnd - 1 }
  const ids = { typeGuid: BIOS_BOOT, uniqueGuid: guidFrom(seed, 'bios-boot') }
  return addEntries(table, [{ number, name: 'bios-boot', attributes: 0n, ...ids, ...place }])
}

function requireRoom({ lastLba, gapEnd, lastTaken }: MbrTable): void {
  if (gapEnd <= GAP_START)
    throw new PineError(
      'TAKEOVER_REFUSED',
      `the first partition begins at sector ${gapEnd}, expected ${GAP_START} and room for two loaders before it`,
      { hint: 'use "install" on an idle disk' },
    )
  const end = lastLba - BACKUP_SECTORS
  if (lastTaken <= end) return
  throw new PineError(
    'TAKEOVER_REFUSED',
    `the last partition ends at sector ${lastTaken}, expected ${end} or before: a GPT has its backup behind it`,
    { hint: 'have the disk enlarged in the panel, or make that partition smaller' },
  )
}

function toEntry({ number, type, firstLba, lastLba }: MbrPartition, seed: string): GptEntry {
  const ids = { typeGuid: TYPES[type] ?? LINUX, uniqueGuid: guidFrom(seed, `partition ${number}`) }
  return { number, name: '', attributes: NO_AUTO, firstLba, lastLba, ...ids }
}

/** RFC 9562 §5.5, with a text in place of a namespace. */
function guidFrom(seed: string, name: string): string {
  const bytes = createHash('sha1').update(`${seed} ${name}`).digest().subarray(0, 16)
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x50, 6)
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8)
  const text = bytes.toString('hex')
  return text.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

/** What is the same in all of revision 1.0. UEFI 2.10 §5.3.2 */
function emptyHeader(): Buffer {
  const sector = Buffer.alloc(SECTOR_BYTES)
  sector.write('EFI PART', 0, 'latin1')
  sector.writeUInt32LE(0x10000, 8)
  sector.writeUInt32LE(92, 12)
  sector.writeUInt32LE(ENTRY_BYTES, 84)
  return sector
}

/**
 * The whole table for a disk that has none: up to `GAP_START`, with zeros where the second list will be, and its backup. Until
 * the first sector says so nobody looks for it.
 */
export function wholeTable(table: GptTable): GptPiece[] {
  const { primary, backup } = encodeGpt(table)
  const start = Buffer.alloc((GAP_START - PRIMARY_LBA) * SECTOR_BYTES)
  const base = PRIMARY_LBA * SECTOR_BYTES
  for (const { offset, bytes } of [primary.header, primary.entries]) bytes.copy(start, offset - base)
  return [{ offset: base, bytes: start }, backup.entries, backup.header]
}
