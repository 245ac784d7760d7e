import { checkProgram } from '../../../src/delta/check.ts'
import { memoryOf } from '../../../src/delta/needs.ts'
import { COLUMNS, isAside, type Op } from '../../../src/delta/program.ts'
import { readProgram } from '../../../src/delta/read-program.ts'
import { writeVarint } from '../../../src/delta/varint.ts'
import { encodeHead, writeOps } from '../../../src/delta/write-program.ts'
import { type Honest, makeHonest } from '../../delta/honest.ts'
import { codecs, noise } from '../../support/bundles.ts'
import { memoryRegion } from '../../support/memory-region.ts'
import { applyProgram, PROGRAM_CHUNK_BYTES, programOf } from '../../support/programs.ts'
import { EDGES, mutateBytes } from '../bytes.ts'
import { few, type Random } from '../random.ts'
import { accepted, defineTarget, requireThat, type TargetEntry } from '../target.ts'

const MIB = 1024 * 1024
const MOST_MEMORY = 64 * MIB

// ---- changes

/** Operations change places, come twice, or come from another program; numbers in the columns become others; or bytes do. */
function mutateProgram(input: Buffer, random: Random, donor: Buffer): Buffer {
  const way = random.below(5)
  if (way < 2) return changeOps(input, random, donor) ?? mutateBytes(input, random, donor)
  return (way < 4 && changeNumbers(input, random)) || mutateBytes(input, random, donor)
}

function changeOps(input: Buffer, random: Random, donor: Buffer): Buffer | undefined {
  const program = opsIn(input)
  if (program === undefined) return undefined
  const ops = [...program.ops]
  const lent = opsIn(donor)?.ops ?? []
  for (let left = few(random, 4); left > 0 && ops.length > 0; left--) changeOp(ops, random, lent)
  return written(() => {
    const writer = writeOps()
    for (const op of ops) writer.add(op)
    return Buffer.concat([encodeHead(program), writer.end()])
  })
}

function changeOp(ops: Op[], random: Random, lent: readonly Op[]): void {
  const at = random.below(ops.length)
  const other = random.pick(random.once(4) && lent.length > 0 ? lent : ops)
  switch (random.below(4)) {
    case 0:
      ops.splice(at, 1)
      break
    case 1:
      ops.splice(at, 0, other)
      break
    case 2:
      ops.splice(at, 1, other)
      break
    default:
      ops.splice(at, 1, changedOp(ops[at] ?? other, random))
  }
}

function changedOp(op: Op, random: Random): Op {
  const numbers = Object.entries(op).filter(([, value]) => typeof value === 'number')
  const [name, value] = numbers[random.below(numbers.length)] ?? []
  if (name === undefined) return op
  const changed = random.once(2)
    ? Number(value) + random.pick([1, -1, 4096, -4096, 500])
    : Number(random.pick(EDGES))
  return { ...op, [name]: changed }
}

/** What cannot be written stays what it was. */
function written(make: () => Buffer): Buffer | undefined {
  try {
    return make().subarray(0, 65_536)
  } catch {
    return undefined
  }
}

function opsIn(input: Buffer) {
  try {
    const program = readProgram(input)
    return { ...program, ops: [...program.ops()] }
  } catch {
    return undefined
  }
}

/** The head and each column as numbers; the lengths of the columns are made right again. */
function changeNumbers(input: Buffer, random: Random): Buffer | undefined {
  const columns = columnsIn(input)
  if (columns === undefined) return undefined
  for (let left = few(random, 4); left > 0; left--) {
    const numbers = random.pick(columns)
    const at = random.below(numbers.length + 1)
    if (random.once(4)) numbers.splice(at, random.below(3))
    else if (random.once(3)) numbers.splice(at, 0, numberOf(random))
    else if (numbers[at] !== undefined)
      numbers[at] = random.once(2) ? numberOf(random) : numbers[at] + random.pick([1, 2, 16, 160])
  }
  const [head = [], ...rest] = columns.map(bytesOf)
  return Buffer.concat([
    Buffer.from(head),
    Buffer.from(bytesOf(rest.map(({ length }) => length))),
    ...rest.map((bytes) => Buffer.from(bytes)),
  ])
}

function numberOf(random: Random): number {
  return random.once(2) ? random.below(4096) : Number(random.pick(EDGES))
}

function bytesOf(numbers: readonly number[]): number[] {
  const bytes: number[] = []
  for (const number of numbers) writeVarint(bytes, Math.max(0, number))
  return bytes
}

/** First the numbers of the head, then those of each column. */
function columnsIn(input: Buffer): number[][] | undefined {
  const program = opsIn(input)
  if (program === undefined) return undefined
  const head = encodeHead(program)
  const rest = numbersIn(input.subarray(head.length))
  const lengths = rest.slice(0, COLUMNS.length)
  let at = head.length + bytesOf(lengths).length
  const columns = lengths.map((length) => {
    at += length
    return numbersIn(input.subarray(at - length, at))
  })
  return [numbersIn(head), ...columns]
}

function numbersIn(bytes: Buffer): number[] {
  const numbers: number[] = []
  let [value, scale] = [0, 1]
  for (const byte of bytes) {
    value += (byte & 127) * scale
    scale *= 128
    if (byte < 128) {
      numbers.push(value)
      ;[value, scale] = [0, 1]
    }
  }
  return numbers
}

// ---- targets

function seedsOf({ head, ops, image }: Honest): Buffer[] {
  const plain: Op[] = [
    { kind: 'copy', bytes: 4096, from: 0 },
    { kind: 'zero', bytes: image.length - 4096 },
  ]
  return [programOf(head, ops), programOf({ encodings: [], blocks: [] }, plain)]
}

const checked: TargetEntry = {
  name: 'delta-program',
  weight: 300_000,
  slowness: 2,
  async open() {
    const honest = await makeHonest()
    const limits = {
      imageBytes: honest.image.length,
      chunkBytes: PROGRAM_CHUNK_BYTES,
      baseBytes: honest.base.length,
    }
    const variant = { windowBytes: 65_536, programSegments: 1, segments: [] }
    return defineTarget({
      name: 'delta-program',
      seeds: seedsOf(honest),
      mutate: mutateProgram,
      decode(input) {
        const program = readProgram(input)
        const needs = checkProgram(program, limits)
        return {
          program,
          bytes: memoryOf({ needs, program, variant, chunkBytes: limits.chunkBytes, codecs }),
        }
      },
      codes: ['BUNDLE_MALFORMED'],
      verdict({ program, bytes }) {
        requireThat(Number.isSafeInteger(bytes) && bytes > 0, `it takes ${bytes} bytes of memory`)
        const ops = [...program.ops()]
        requireThat(madeBy(ops) === limits.imageBytes, 'it makes more or less than the image')
        const baseEnd = program.blocks.reduce((sum, block) => sum + block.content, limits.baseBytes)
        for (const op of ops) {
          if (op.kind !== 'copy' && op.kind !== 'patch' && op.kind !== 'moved') continue
          requireThat(op.from >= 0 && op.from + op.bytes <= baseEnd, 'it copies from outside the base')
        }
        return accepted([...new Set(ops.map(({ kind }) => kind))].join())
      },
    })
  },
}

/** Bytes of the image, counted without the rest of the checks: content of packs and feeds is passed over. */
function madeBy(ops: readonly Op[]): number {
  let [made, inside] = [0, 0]
  for (const op of ops) {
    if (op.kind === 'pack') made += op.stored
    if (op.kind === 'pack' || op.kind === 'feed') inside += op.bytes
    else if (isAside(op)) continue
    else if (inside > 0) inside -= op.bytes
    else made += op.bytes
  }
  return made
}

const EMPTY = 0xee

/** What the check lets through is run, on data that was made for another program. */
const applied: TargetEntry = {
  name: 'delta-apply',
  weight: 25_000,
  perRound: 1000,
  slowness: 20,
  async open() {
    const honest = await makeHonest()
    const { base, image, difference, literal } = honest
    const spare = noise(8192, 3)
    return defineTarget({
      name: 'delta-apply',
      seeds: seedsOf(honest).slice(0, 1),
      mutate: mutateProgram,
      async decode(program) {
        const slot = memoryRegion(Buffer.alloc(image.length, EMPTY))
        const data = {
          difference,
          literal: Buffer.concat([literal, program.length % 2 === 0 ? Buffer.alloc(0) : spare]),
        }
        const error = await applyProgram(
          { program, base, image, memoryBytes: MOST_MEMORY, ...data },
          slot,
        ).then(
          () => undefined,
          (cause: unknown) => cause,
        )
        return { slot: slot.content, error }
      },
      codes: ['BUNDLE_MALFORMED', 'BASE_MISMATCH', 'CODEC_MISMATCH', 'BUNDLE_CORRUPT'],
      verdict({ slot, error }) {
        for (let at = 0; at < slot.length; at += PROGRAM_CHUNK_BYTES) {
          const chunk = slot.subarray(at, at + PROGRAM_CHUNK_BYTES)
          const isRight = chunk.equals(image.subarray(at, at + PROGRAM_CHUNK_BYTES))
          requireThat(
            isRight || chunk.every((byte) => byte === EMPTY),
            `the chunk at ${at} was written wrong`,
          )
        }
        if (error !== undefined) throw error
        requireThat(slot.equals(image), 'it says that it made the image, and did not')
        return accepted()
      },
    })
  },
}

export const programTargets = [checked, applied]
