import { crc32 } from 'node:zlib'
import type { GptPiece, GptTable } from '../../src/model/gpt.ts'
import { encodeGpt } from '../../src/model/gpt.ts'
import { type DiskEnds, SECTOR, sfdiskTable } from './gpt-disk.ts'

/** The used entries, by their numbers; what a reader makes of a disk. Undefined where it finds no table. */
export type Seen = string | undefined

function at({ head, tail, bytes }: DiskEnds, lba: number, sectors: number): Buffer {
  const start = lba * SECTOR
  if (start < head.length) return head.subarray(start, start + sectors * SECTOR)
  const inTail = start - (bytes - tail.length)
  return tail.subarray(inTail, inTail + sectors * SECTOR)
}

function listed(array: Buffer): string {
  const rows = Array.from({ length: array.length / 128 }, (_, index) =>
    array.subarray(index * 128, (index + 1) * 128),
  )
  return rows
    .map((row, index) =>
      row.subarray(0, 16).every((byte) => byte === 0) ? '' : `${index} ${row.toString('hex')}`,
    )
    .filter(Boolean)
    .join('\n')
}

/** With both checksums: block/partitions/efi.c, libblkid, EDK2. Written again here, apart from the code under test. */
function copy(disk: DiskEnds, lba: number): Seen {
  const header = Buffer.from(at(disk, lba, 1))
  if (header.toString('latin1', 0, 8) !== 'EFI PART' || header.readUInt32LE(12) !== 92) return undefined
  const expected = header.readUInt32LE(16)
  header.writeUInt32LE(0, 16)
  if (crc32(header.subarray(0, 92)) !== expected || header.readUInt32LE(24) !== lba) return undefined
  const array = at(disk, header.readUInt32LE(72), (header.readUInt32LE(80) * 128) / SECTOR)
  return crc32(array) === header.readUInt32LE(88) ? listed(array) : undefined
}

/** Only the primary, unless it was told `gpt`. */
function linux(disk: DiskEnds): Seen {
  return copy(disk, 1)
}

/** Firmware, libblkid, sfdisk. */
function fallingBack(disk: DiskEnds): Seen {
  return copy(disk, 1) ?? copy(disk, disk.bytes / SECTOR - 1)
}

/** No checksum, no backup. */
function grub(disk: DiskEnds): Seen {
  const header = at(disk, 1, 1)
  if (header.toString('latin1', 0, 8) !== 'EFI PART') return undefined
  return listed(at(disk, header.readUInt32LE(72), (header.readUInt32LE(80) * 128) / SECTOR))
}

export const READERS = { linux, grub, fallingBack }

/** What all readers should make of a table. */
export function seenOf(table: GptTable): Seen {
  return listed(encodeGpt(table).primary.entries.bytes)
}

/** The partitions of a disk whose first sector is the table itself, as sfdisk finds them. */
export function mbrSeen(disk: string): Seen {
  const { id, partitions } = sfdiskTable(disk)
  const rows = partitions.map(({ node, start, size, type }) =>
    [node.slice(disk.length), start, size, type].join(' '),
  )
  return [id, ...rows].join('\n')
}

/** A disk with some more written on it, the other stays as it is. */
export function written({ head, tail, bytes }: DiskEnds, pieces: readonly GptPiece[]): DiskEnds {
  const after = { head: Buffer.from(head), tail: Buffer.from(tail), bytes }
  for (const piece of pieces) {
    const inTail = piece.offset - (bytes - tail.length)
    if (inTail >= 0) piece.bytes.copy(after.tail, inTail)
    else piece.bytes.copy(after.head, piece.offset)
  }
  return after
}

/** Sectors, of which a disk keeps any until it is told to flush. */
export function sectorsOf(pieces: readonly GptPiece[]): GptPiece[] {
  return pieces.flatMap(({ offset, bytes }) =>
    Array.from({ length: bytes.length / SECTOR }, (_, index) => ({
      offset: offset + index * SECTOR,
      bytes: bytes.subarray(index * SECTOR, (index + 1) * SECTOR),
    })),
  )
}
