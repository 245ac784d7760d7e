import { crc32 } from 'node:zlib'
import { decodeGuid, ENTRY_BYTES, encodeGuid, readLba } from './gpt-entry.ts'

/** A table is on the disk twice: behind its first sector, and in its last ones. */
export type CopyName = 'primary' | 'backup'

export const PRIMARY_LBA = 1

/** What a header says. UEFI 2.10 §5.3.2 */
export interface GptHeader {
  myLba: number
  alternateLba: number
  firstUsable: number
  lastUsable: number
  diskGuid: string
  /** Where its entries begin. */
  arrayLba: number
  entryCount: number
  arrayCrc: number
}

/** A copy whose checksums are right. */
export interface GptCopy {
  header: GptHeader
  /** Its sector, with what is not known here. */
  sector: Buffer
  /** The entries; whole sectors. */
  array: Buffer
}

/** Reads whole sectors; undefined where they are outside of what is known of the disk. */
export type ReadSectors = (lba: number, count: number) => Buffer | undefined

const SIGNATURE = 'EFI PART'
const HEADER_BYTES = 92
const SIZE = 12
const HEADER_CRC = 16
const MY_LBA = 24
const ALTERNATE_LBA = 32
const FIRST_USABLE = 40
const LAST_USABLE = 48
const DISK_GUID = 56
const ARRAY_LBA = 72
const ENTRY_COUNT = 80
const ENTRY_SIZE = 84
const ARRAY_CRC = 88

/** The copy at that sector, or what is wrong with it: what the kernel checks, block/partitions/efi.c. */
export function readCopy(lba: number, sectorBytes: number, read: ReadSectors): GptCopy | string {
  const sector = read(lba, 1)
  if (sector === undefined || sector.toString('latin1', 0, SIGNATURE.length) !== SIGNATURE)
    return `there is no header in sector ${lba}`
  const size = sector.readUInt32LE(SIZE)
  if (size < HEADER_BYTES || size > sectorBytes) return `its header has ${size} bytes`
  if (headerCrc(sector) !== sector.readUInt32LE(HEADER_CRC)) return 'the checksum of its header is wrong'
  if (sector.readUInt32LE(ENTRY_SIZE) !== ENTRY_BYTES)
    return `its entries have ${sector.readUInt32LE(ENTRY_SIZE)} bytes, not ${ENTRY_BYTES}`
  const header = decodeHeader(sector)
  if (header.myLba !== lba) return `its header is that of sector ${header.myLba}`
  const array = read(header.arrayLba, arraySectors(header.entryCount, sectorBytes))
  if (header.entryCount === 0 || array === undefined)
    return `its ${header.entryCount} entries are out of reach, in sector ${header.arrayLba}`
  if (arrayCrc(array, header.entryCount) !== header.arrayCrc) return 'the checksum of its entries is wrong'
  return { header, sector, array }
}

/** Sectors that so many entries fill. */
export function arraySectors(entryCount: number, sectorBytes: number): number {
  return Math.ceil((entryCount * ENTRY_BYTES) / sectorBytes)
}

export function arrayCrc(array: Buffer, entryCount: number): number {
  return crc32(array.subarray(0, entryCount * ENTRY_BYTES))
}

function headerCrc(sector: Buffer): number {
  const header = Buffer.from(sector.subarray(0, sector.readUInt32LE(SIZE)))
  header.writeUInt32LE(0, HEADER_CRC)
  return crc32(header)
}

function decodeHeader(sector: Buffer): GptHeader {
  return {
    myLba: readLba(sector, MY_LBA),
    alternateLba: readLba(sector, ALTERNATE_LBA),
    firstUsable: readLba(sector, FIRST_USABLE),
    lastUsable: readLba(sector, LAST_USABLE),
    diskGuid: decodeGuid(sector, DISK_GUID),
    arrayLba: readLba(sector, ARRAY_LBA),
    entryCount: sector.readUInt32LE(ENTRY_COUNT),
    arrayCrc: sector.readUInt32LE(ARRAY_CRC),
  }
}

/** One sector; what `header` does not say is as in `template`. */
export function encodeHeader(template: Buffer, header: GptHeader): Buffer {
  const sector = Buffer.from(template)
  for (const [at, lba] of [
    [MY_LBA, header.myLba],
    [ALTERNATE_LBA, header.alternateLba],
    [FIRST_USABLE, header.firstUsable],
    [LAST_USABLE, header.lastUsable],
    [ARRAY_LBA, header.arrayLba],
  ] as const) {
    sector.writeBigUInt64LE(BigInt(lba), at)
  }
  encodeGuid(header.diskGuid).copy(sector, DISK_GUID)
  sector.writeUInt32LE(header.entryCount, ENTRY_COUNT)
  sector.writeUInt32LE(header.arrayCrc, ARRAY_CRC)
  sector.writeUInt32LE(headerCrc(sector), HEADER_CRC)
  return sector
}
