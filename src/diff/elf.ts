/** A part of a 64-bit little-endian ELF file; offsets count from the start of the bytes it was found in. */
export interface Section {
  readonly name: string
  readonly type: number
  /** Where it is when the program runs; where it is in the file for a relocatable file, which has no addresses. */
  readonly address: number
  readonly offset: number
  readonly bytes: number
  readonly isCode: boolean
  readonly link: number
  readonly info: number
}

export interface Elf {
  readonly isRelocatable: boolean
  readonly machine: number
  /** By number. */
  readonly sections: readonly Section[]
}

export const SECTION = {
  program: 1,
  symbols: 2,
  strings: 3,
  relocations: 4,
  empty: 8,
  dynamicSymbols: 11,
} as const
export const MACHINE = { x86_64: 62, aarch64: 183 } as const

const MAGIC = Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1])
const HEADER_BYTES = 64
const SECTION_BYTES = 64
const RELOCATABLE = 1
const EXECUTABLE_FLAG = 4n

/** The first ELF file in `bytes`, at their start or behind something else; undefined where it makes no sense. */
export function findElf(bytes: Buffer): Elf | undefined {
  const start = bytes.indexOf(MAGIC)
  return start < 0 ? undefined : readElf(bytes, start)
}

function readElf(bytes: Buffer, start: number): Elf | undefined {
  const header = bytes.subarray(start, start + HEADER_BYTES)
  if (header.length < HEADER_BYTES) return undefined
  const table = start + Number(header.readBigUInt64LE(40))
  const count = header.readUInt16LE(60)
  if (header.readUInt16LE(58) !== SECTION_BYTES || table + count * SECTION_BYTES > bytes.length)
    return undefined
  const isRelocatable = header.readUInt16LE(16) === RELOCATABLE
  const raw = Array.from({ length: count }, (_, index) =>
    readSection(bytes.subarray(table + index * SECTION_BYTES, table + (index + 1) * SECTION_BYTES), start),
  )
  if (!raw.every(isPossible)) return undefined
  if (raw.some(({ type, offset, bytes: size }) => type !== SECTION.empty && offset + size > bytes.length))
    return undefined
  const names = raw[header.readUInt16LE(62)]
  if (names === undefined) return undefined
  const sections = raw.map(({ nameAt, ...section }) => ({
    ...section,
    name: stringAt(bytes.subarray(names.offset, names.offset + names.bytes), nameAt),
    address: isRelocatable ? section.offset : section.address,
  }))
  return { isRelocatable, machine: header.readUInt16LE(18), sections }
}

function readSection(entry: Buffer, start: number) {
  return {
    nameAt: entry.readUInt32LE(0),
    type: entry.readUInt32LE(4),
    isCode: (entry.readBigUInt64LE(8) & EXECUTABLE_FLAG) !== 0n,
    // Kernels have theirs at the top: as negative numbers they are exact.
    address: Number(entry.readBigInt64LE(16)),
    offset: start + Number(entry.readBigUInt64LE(24)),
    bytes: Number(entry.readBigUInt64LE(32)),
    link: entry.readUInt32LE(40),
    info: entry.readUInt32LE(44),
  }
}

/** Processors have no more; so differences of addresses, too, are numbers that operations can have. */
const MAX_ADDRESS = 2 ** 48

function isPossible({ address, offset, bytes }: Pick<Section, 'address' | 'offset' | 'bytes'>): boolean {
  return [address, offset, bytes, address + bytes].every((number) => Math.abs(number) <= MAX_ADDRESS)
}

function stringAt(strings: Buffer, at: number): string {
  const end = strings.indexOf(0, at)
  return end < 0 ? '' : strings.toString('latin1', at, end)
}
