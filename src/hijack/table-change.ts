import { PineError } from '../core/error.ts'
import { encodeGpt, type GptPiece, type GptTable } from '../model/gpt.ts'
import { arraySectors, PRIMARY_LBA } from '../model/gpt-copy.ts'
import { decodeEntry, ENTRY_BYTES } from '../model/gpt-entry.ts'

/** Writes that nobody reads yet, and the one that makes them count. */
export interface Flip {
  /** In any order. Then a flush, and they are read back. */
  prepare: readonly GptPiece[]
  /** One sector. Then a flush. */
  flip: GptPiece
}

/**
 * How a disk comes from one table to another. `head` is the start of the disk, as for `parseGpt`; the primary of `before`
 * is intact. Where the entries are, and from where on partitions may be, is decided here. The way back is the same call
 * the other way round: its flip writes the header that was there before. Throws `LAYOUT_INVALID`, `TAKEOVER_REFUSED`.
 *
 * The entries are never written over: new ones go to a free place, and the header, one sector, then says that they are
 * there. In place they would be safe only for readers that fall back on the backup, and the two that count do not:
 *
 * - Linux takes the backup only with `gpt` on its command line; else it finds no partition (block/partitions/efi.c).
 * - GRUB knows neither checksums nor the backup: it reads what the header points to (grub-core/partmap/gpt.c).
 * - libblkid, sfdisk and UEFI firmware do fall back; firmware also mends what it finds damaged.
 *
 * Power cuts, and what all five read:
 *
 * - while preparing: the primary is as it was and is read. The backup may be anything: nobody reads it.
 * - after it: still the old table. The backup is the new one and whole, should the primary be lost just then.
 * - in the flip: its sector is old or new, and so is the table; both arrays are on the disk.
 */
export function tableChange(before: GptTable, wanted: GptTable, head: Uint8Array): Flip {
  requireChangeable(before, wanted)
  const sectors = arraySectors(before.entryCount, before.sectorBytes)
  const place = freePlaces(before.sectorBytes, sectors).find((lba) =>
    isFree({ lba, sectors }, before, wanted, head),
  )
  if (place === undefined)
    throw new PineError('TAKEOVER_REFUSED', 'there is no room for a second list of partitions', {
      hint: `the first partition of the disk has to start at sector ${PRIMARY_LBA + 1 + 2 * sectors} or later`,
    })
  const { primary, backup } = encodeGpt({
    ...wanted,
    arrayLba: { primary: place, backup: before.arrayLba.backup },
    firstUsable: Math.max(wanted.firstUsable, place + sectors),
  })
  return { prepare: [backup.entries, backup.header, primary.entries], flip: primary.header }
}

function requireChangeable(before: GptTable, wanted: GptTable): void {
  if (before.intact === 'backup')
    throw new PineError('LAYOUT_INVALID', 'the partition table is damaged; only its backup can be read', {
      hint: 'have "sfdisk" or "gdisk" write it again before anything else is done to the disk',
    })
  const identity = ({ diskGuid, sectorBytes, lastLba, entryCount }: GptTable) =>
    [diskGuid, sectorBytes, lastLba, entryCount].join()
  if (identity(before) !== identity(wanted)) throw new Error('these are the tables of two disks')
}

/** Where partitions of a new table may begin, so that each change of it finds a place for its second list. */
export function roomForLists(sectorBytes: number, entryCount: number): number {
  const sectors = arraySectors(entryCount, sectorBytes)
  return Math.max(...freePlaces(sectorBytes, sectors)) + sectors
}

const PHYSICAL_BYTES = 4096

/** The usual place; behind it, in other physical sectors; right behind it. */
function freePlaces(sectorBytes: number, sectors: number): number[] {
  const usual = PRIMARY_LBA + 1
  const step = PHYSICAL_BYTES / sectorBytes
  return [usual, Math.ceil((usual + sectors) / step) * step, usual + sectors]
}

interface Sectors {
  lba: number
  sectors: number
}

function isFree({ lba, sectors }: Sectors, before: GptTable, wanted: GptTable, head: Uint8Array): boolean {
  const end = lba + sectors
  const inUse = before.arrayLba.primary
  if (lba < inUse + sectors && inUse < end) return false
  if ([...before.entries, ...wanted.entries].some(({ firstLba }) => firstLba < end)) return false
  const content = Buffer.from(head.subarray(lba * before.sectorBytes, end * before.sectorBytes))
  return content.length === sectors * before.sectorBytes && looksFree(content, before.lastLba)
}

/** Zeros, or entries: those of another table, or what is left of a change that did not come to its end. */
function looksFree(content: Buffer, lastLba: number): boolean {
  for (let at = 0; at < content.length; at += ENTRY_BYTES) {
    const bytes = content.subarray(at, at + ENTRY_BYTES)
    const entry = decodeEntry(bytes, 1)
    const isEntry = entry !== undefined && 0 < entry.firstLba && entry.firstLba <= entry.lastLba
    if (!(isEntry && entry.lastLba <= lastLba) && bytes.some((byte) => byte !== 0)) return false
  }
  return true
}
