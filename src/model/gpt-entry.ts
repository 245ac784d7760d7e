/** One entry of a GUID partition table. UEFI 2.10 §5.3.3 */
export interface GptEntry {
  /** 1-based, as the kernel and GRUB count. */
  number: number
  /** As sfdisk prints them, lower case. */
  typeGuid: string
  uniqueGuid: string
  firstLba: number
  /** Still part of it. */
  lastLba: number
  attributes: bigint
  /** At most 36 UTF-16 units. */
  name: string
}

/** The one size that the kernel takes: block/partitions/efi.c, `is_gpt_valid`. */
export const ENTRY_BYTES = 128

const TYPE = 0
const UNIQUE = 16
const FIRST_LBA = 32
const LAST_LBA = 40
const ATTRIBUTES = 48
const NAME = 56
const NAME_UNITS = (ENTRY_BYTES - NAME) / 2
const UNUSED = '00000000-0000-0000-0000-000000000000'

/** Undefined where the entry is not used. */
export function decodeEntry(bytes: Buffer, number: number): GptEntry | undefined {
  const typeGuid = decodeGuid(bytes, TYPE)
  if (typeGuid === UNUSED) return undefined
  return {
    number,
    typeGuid,
    uniqueGuid: decodeGuid(bytes, UNIQUE),
    firstLba: readLba(bytes, FIRST_LBA),
    lastLba: readLba(bytes, LAST_LBA),
    attributes: bytes.readBigUInt64LE(ATTRIBUTES),
    // Whatever stands behind a NUL stays in the name: the bytes have to come out again.
    name: bytes.toString('utf16le', NAME, ENTRY_BYTES).replace(/\0+$/, ''),
  }
}

/** 128 bytes. Throws on what cannot be written down. */
export function encodeEntry(entry: GptEntry): Buffer {
  const { typeGuid, uniqueGuid, firstLba, lastLba, attributes, name } = entry
  if (name.length > NAME_UNITS) throw new Error(`a GPT name has at most ${NAME_UNITS} units: ${name}`)
  const bytes = Buffer.alloc(ENTRY_BYTES)
  encodeGuid(typeGuid).copy(bytes, TYPE)
  encodeGuid(uniqueGuid).copy(bytes, UNIQUE)
  bytes.writeBigUInt64LE(BigInt(firstLba), FIRST_LBA)
  bytes.writeBigUInt64LE(BigInt(lastLba), LAST_LBA)
  bytes.writeBigUInt64LE(attributes, ATTRIBUTES)
  bytes.write(name, NAME, 'utf16le')
  return bytes
}

/** Above 2^53 it is not exact, and beyond the end of any disk. */
export function readLba(bytes: Buffer, at: number): number {
  return Number(bytes.readBigUInt64LE(at))
}

/** The first three groups are little endian, the last two in the order of the text. UEFI 2.10 appendix A */
const GROUPS = [4, 2, 2, 2, 6] as const
const LITTLE_ENDIAN = 3

/** Lower case. */
export function decodeGuid(bytes: Buffer, at: number): string {
  let start = at
  const groups = GROUPS.map((length, index) => {
    const group = Buffer.from(bytes.subarray(start, start + length))
    start += length
    return (index < LITTLE_ENDIAN ? group.reverse() : group).toString('hex')
  })
  return groups.join('-')
}

/** 16 bytes. Throws on a text that is none. */
export function encodeGuid(text: string): Buffer {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) throw new Error(`not a GUID: ${text}`)
  const groups = text.split('-').map((group) => Buffer.from(group, 'hex'))
  return Buffer.concat(groups.map((group, index) => (index < LITTLE_ENDIAN ? group.reverse() : group)))
}
