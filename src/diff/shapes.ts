import { CODE_SHAPE, COUNTS_FROM, type Shape, tableShape } from '../core/shape.ts'
import { type Elf, MACHINE, SECTION, type Section } from './elf.ts'

/** A section of the new file and what it most likely was, with the numbers in it that say where something is. */
export interface SectionPair {
  readonly old: Section
  readonly now: Section
  /** Each in the addresses of its own file; undefined where nothing in it is a place. */
  readonly shapes: { readonly old: Shape; readonly now: Shape } | undefined
}

interface File {
  readonly elf: Elf
  readonly content: Buffer
}

/** By name; what is there twice, by its first. */
export function pairSections(old: File, now: File): SectionPair[] {
  const pairs: SectionPair[] = []
  for (const section of now.elf.sections) {
    const before = old.elf.sections.find(({ name, type }) => name === section.name && type === section.type)
    if (before === undefined || section.type === SECTION.empty || section.bytes === 0 || before.bytes === 0)
      continue
    const step = evenSteps(old.content, before)
    const isEven = step > 0 && step === evenSteps(now.content, section)
    const shape = shapeOf(before, old.elf, isEven ? step : 0)
    const nowShape = shapeOf(section, now.elf, isEven ? step : 0)
    pairs.push({ old: before, now: section, shapes: shape && nowShape && { old: shape, now: nowShape } })
  }
  return pairs
}

/** Every four bytes count from themselves. */
const RELATIVE =
  /^(\.eh_frame|\.orc_unwind_ip|\.(return|retpoline|call|static_call)_sites|\.smp_locks|__bug_table|__ksymtab(_gpl)?|__ex_table|\.altinstructions|__jump_table|\.ibt_endbr_seal|\.parainstructions)$/
/** Eight bytes, when they are an address. */
const POINTERS =
  /^(\.data|\.rodata|\.init\.data|\.data\.rel\.ro|\.got|\.init_array|\.fini_array|\.data\.\.percpu|\.pci_fixup|__param|\.initcall.*)/

function shapeOf(section: Section, elf: Elf, step: number): Shape | undefined {
  const { name, type, address } = section
  if (type === SECTION.relocations) return relocations(section, elf, step)
  if (type === SECTION.symbols || type === SECTION.dynamicSymbols) return symbols(section, elf)
  if (elf.isRelocatable) return undefined
  if (section.isCode) return elf.machine === MACHINE.x86_64 ? CODE_SHAPE : undefined
  if (name === '.eh_frame_hdr')
    return tableShape(8, address + 4, [
      { offset: 0, width: 4, from: COUNTS_FROM.origin, origin: address },
      { offset: 4, width: 4, from: COUNTS_FROM.origin, origin: address },
    ])
  if (RELATIVE.test(name)) return tableShape(4, address, [{ offset: 0, width: 4, from: COUNTS_FROM.itself }])
  if (type === SECTION.program && POINTERS.test(name))
    return tableShape(8, address, [{ offset: 0, width: 8, from: COUNTS_FROM.origin }])
  return undefined
}

const ENTRY_BYTES = 24
/** Of the scale of a field. */
const MAX_STEP = 4096

/** Entries are offset, type, number of the symbol, addend: System V ABI, chapter 4, "Relocation". */
function relocations(section: Section, elf: Elf, step: number): Shape {
  const offset = { offset: 0, width: 8 } as const
  const addend = { offset: 16, width: 8, from: COUNTS_FROM.origin } as const
  if (!elf.isRelocatable)
    return tableShape(ENTRY_BYTES, section.address, [{ ...offset, from: COUNTS_FROM.origin }, addend])
  const places = elf.sections[section.info]?.address ?? 0
  const symbolTable = elf.sections[section.link]?.address ?? 0
  return tableShape(ENTRY_BYTES, section.address, [
    step > 0
      ? { ...offset, from: COUNTS_FROM.record, scale: step }
      : { ...offset, from: COUNTS_FROM.origin, origin: places },
    { offset: 12, width: 4, from: COUNTS_FROM.origin, origin: symbolTable, scale: ENTRY_BYTES },
    // Most of them are places in the code.
    { ...addend, origin: textOf(elf) },
  ])
}

function symbols(section: Section, elf: Elf): Shape {
  const names = elf.sections[section.link]?.address ?? 0
  return tableShape(ENTRY_BYTES, section.address, [
    { offset: 0, width: 4, from: COUNTS_FROM.origin, origin: names },
    { offset: 8, width: 8, from: COUNTS_FROM.origin, origin: elf.isRelocatable ? textOf(elf) : 0 },
  ])
}

function textOf({ sections }: Elf): number {
  return sections.find(({ name }) => name === '.text')?.address ?? 0
}

/** By how much the offset of each relocation is more than that of the one before, where it is always the same little; else 0. */
function evenSteps(content: Buffer, { type, offset, bytes }: Section): number {
  if (type !== SECTION.relocations || bytes < 2 * ENTRY_BYTES) return 0
  const first = content.readUInt32LE(offset)
  const step = content.readUInt32LE(offset + ENTRY_BYTES) - first
  if (step > MAX_STEP) return 0
  for (let i = 2; (i + 1) * ENTRY_BYTES <= bytes; i++)
    if (content.readUInt32LE(offset + i * ENTRY_BYTES) !== first + i * step) return 0
  return step
}
