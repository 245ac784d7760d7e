import { isShape } from '../../../src/core/shape.ts'
import { type Elf, findElf, MACHINE, SECTION } from '../../../src/diff/elf.ts'
import { pairSections } from '../../../src/diff/shapes.ts'
import { mutateBytes } from '../bytes.ts'
import type { Random } from '../random.ts'
import { accepted, defineTarget, refused, requireThat, type TargetEntry } from '../target.ts'

/** Name, type, bytes, link, info. */
const SECTIONS: readonly (readonly [string, number, number, number, number])[] = [
  ['', 0, 0, 0, 0],
  ['.text', SECTION.program, 64, 0, 0],
  ['.data', SECTION.program, 32, 0, 0],
  ['.symtab', SECTION.symbols, 96, 4, 1],
  ['.strtab', SECTION.strings, 16, 0, 0],
  ['.rela.text', SECTION.relocations, 72, 3, 1],
  ['.eh_frame_hdr', SECTION.program, 20, 0, 0],
  ['.eh_frame', SECTION.program, 24, 0, 0],
  ['.bss', SECTION.empty, 400, 0, 0],
  ['.shstrtab', SECTION.strings, 80, 0, 0],
]
const HEADER_BYTES = 64
const ENTRY_BYTES = 64
const EXECUTABLE = 6n

/** A small program for x86-64 as far as its sections go. System V ABI, chapter 4. */
function smallElf(type: number): Buffer {
  const names = Buffer.from(SECTIONS.map(([name]) => `${name}\0`).join(''))
  const contents = SECTIONS.map(([, kind, bytes]) => Buffer.alloc(kind === SECTION.empty ? 0 : bytes))
  names.copy(contents.at(-1) ?? names)
  // By the same step each: what a relocation table of a kernel looks like.
  for (let record = 0; record < 3; record++) contents[5]?.writeUInt32LE(16 * record, 24 * record)
  const body = Buffer.concat(contents)
  const header = Buffer.alloc(HEADER_BYTES)
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1])
  header.writeUInt16LE(type, 16)
  header.writeUInt16LE(MACHINE.x86_64, 18)
  header.writeBigUInt64LE(BigInt(HEADER_BYTES + body.length), 40)
  header.writeUInt16LE(ENTRY_BYTES, 58)
  header.writeUInt16LE(SECTIONS.length, 60)
  header.writeUInt16LE(SECTIONS.length - 1, 62)
  return Buffer.concat([header, body, ...sectionHeaders(names, contents)])
}

function sectionHeaders(names: Buffer, contents: readonly Buffer[]): Buffer[] {
  let at = HEADER_BYTES
  return SECTIONS.map(([name, type, bytes, link, info], index) => {
    const entry = Buffer.alloc(ENTRY_BYTES)
    entry.writeUInt32LE(index === 0 ? 0 : names.indexOf(`\0${name}\0`) + 1, 0)
    entry.writeUInt32LE(type, 4)
    entry.writeBigUInt64LE(name === '.text' ? EXECUTABLE : 2n, 8)
    entry.writeBigUInt64LE(BigInt(0x1000 + at), 16)
    entry.writeBigUInt64LE(BigInt(at), 24)
    entry.writeBigUInt64LE(BigInt(bytes), 32)
    entry.writeUInt32LE(link, 40)
    entry.writeUInt32LE(info, 44)
    at += contents[index]?.length ?? 0
    return entry
  })
}

const RELOCATABLE = 1
const SHARED = 3
const PROGRAM = smallElf(SHARED)
const TABLE_BYTES = SECTIONS.length * ENTRY_BYTES

/** Programs whose addresses have moved: what is found in them is only ever used to look for differences. */
export const elf: TargetEntry = {
  name: 'elf',
  weight: 150_000,
  open: () =>
    defineTarget({
      name: 'elf',
      seeds: [PROGRAM, smallElf(RELOCATABLE), Buffer.concat([Buffer.alloc(100), PROGRAM])],
      mutate: mutateElf,
      decode(input) {
        const found = findElf(input)
        return { found, pairs: found === undefined ? [] : pairsOf(found, input) }
      },
      codes: [],
      verdict({ found, pairs }, input) {
        if (found === undefined) return refused('none')
        for (const { type, offset, bytes, name } of found.sections) {
          const isInside = offset >= 0 && bytes >= 0 && offset + bytes <= input.length
          requireThat(type === SECTION.empty || isInside, `${name} has ${bytes} bytes at ${offset}`)
        }
        for (const { shapes } of pairs)
          requireThat(
            shapes === undefined || (isShape(shapes.old) && isShape(shapes.now)),
            'a shape that is none',
          )
        return accepted(`${found.isRelocatable} ${Math.min(found.sections.length, 12)} ${pairs.length}`)
      },
    }),
}

/** With itself, and with what it was before. */
function pairsOf(found: Elf, content: Buffer) {
  const now = { elf: found, content }
  const old = { elf: findElf(PROGRAM) ?? found, content: PROGRAM }
  return [...pairSections(now, now), ...pairSections(old, now)]
}

/** Section headers are at the end. */
function mutateElf(input: Buffer, random: Random, donor: Buffer): Buffer {
  if (random.once(3)) return mutateBytes(input, random, donor, 8192)
  const table = Math.max(0, input.length - TABLE_BYTES)
  const changed = Buffer.from(input)
  mutateBytes(input.subarray(table), random, donor.subarray(-TABLE_BYTES), TABLE_BYTES).copy(changed, table)
  return changed
}
