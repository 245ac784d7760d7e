import { CODEC_NAMES } from '../core/encoding.ts'
import {
  type AimOp,
  COLUMNS,
  type Column,
  KIND_RANGE,
  KINDS,
  type MapOp,
  type Op,
  type OpenOp,
  type ProgramHead,
  type Run,
} from './program.ts'
import { writeVarint, zigzag } from './varint.ts'

export function encodeHead({ encodings, blocks }: ProgramHead): Buffer {
  const out: number[] = []
  writeVarint(out, encodings.length)
  for (const { codec, params } of encodings) {
    writeVarint(out, CODEC_NAMES.indexOf(codec))
    writeVarint(out, params.length)
    for (const param of params) writeVarint(out, param)
  }
  writeVarint(out, blocks.length)
  let expected = 0
  for (const block of blocks) {
    writeVarint(out, CODEC_NAMES.indexOf(block.codec))
    writeVarint(out, block.runs.length)
    for (const run of block.runs) {
      writeVarint(out, zigzag(run.from - expected))
      writeVarint(out, run.bytes)
      expected = run.from + run.bytes
    }
    writeVarint(out, block.content)
  }
  return Buffer.from(out)
}

export interface OpWriter {
  add(op: Op): void
  /** All that was added, to stand behind the head. */
  end(): Buffer
}

export function writeOps(): OpWriter {
  const columns = openColumns()
  const expected = { base: 0, self: 0 }
  let streams = 0

  function head(kind: Op['kind'], size: number): void {
    columns.add('ops', size * KIND_RANGE + KINDS.indexOf(kind))
  }

  function rest(...values: number[]): void {
    for (const value of values) columns.add('rest', value)
  }

  function place(space: 'base' | 'self', { from, bytes }: Run): void {
    columns.add(space === 'base' ? 'base' : 'rest', zigzag(from - expected[space]))
    expected[space] = from + bytes
  }

  function add(op: Op): void {
    switch (op.kind) {
      case 'map':
        addMap(op)
        return
      case 'aim':
        head(op.kind, op.shape.length)
        rest(...[...op.shape, op.ahead, op.nowAt].map(zigzag))
        return
      case 'open':
        streams += 1
        head(op.kind, op.encoding)
        return
      default:
        head(op.kind, op.bytes)
        addFields(op)
    }
  }

  function addMap({ map }: MapOp): void {
    const count = (map.length - 1) / 2
    head('map', count)
    let start = 0
    let shift = 0
    for (let i = 0; i < count; i++) {
      const [nextStart = 0, nextShift = 0] = [map[i], map[count + i]]
      columns.add('starts', zigzag(nextStart - start))
      columns.add('shifts', zigzag(nextShift - shift))
      start = nextStart
      shift = nextShift
    }
    columns.add('starts', zigzag((map[2 * count] ?? 0) - start))
  }

  function addFields(op: Exclude<Op, MapOp | AimOp | OpenOp>): void {
    if (op.kind === 'copy' || op.kind === 'patch' || op.kind === 'moved') place('base', op)
    if (op.kind === 'self') place('self', op)
    if (op.kind === 'take' || op.kind === 'drop' || op.kind === 'feed') rest(streams - 1 - op.stream)
    if (op.kind === 'feed') rest(op.made * 2 + Number(op.last))
    if (op.kind === 'pack') rest(op.encoding, zigzag(op.bytes - op.consumed), op.kept, op.stored)
  }

  return { add, end: columns.end }
}

/** Numbers that are kept as such, and not as bytes. */
const KEPT_BYTES = 64 * 1024

/** Numbers of one kind compress better beside each other. */
function openColumns() {
  const columns = new Map(COLUMNS.map((name) => [name, { fresh: [] as number[], parts: [] as Buffer[] }]))

  function column(name: Column) {
    const found = columns.get(name)
    if (found === undefined) throw new Error(`there is no column ${name}`)
    return found
  }

  return {
    add(name: Column, value: number): void {
      const into = column(name)
      writeVarint(into.fresh, value)
      if (into.fresh.length < KEPT_BYTES) return
      into.parts.push(Buffer.from(into.fresh))
      into.fresh = []
    },
    end(): Buffer {
      const bytes = COLUMNS.map((name) =>
        Buffer.concat([...column(name).parts, Buffer.from(column(name).fresh)]),
      )
      const lengths: number[] = []
      for (const { length } of bytes) writeVarint(lengths, length)
      return Buffer.concat([Buffer.from(lengths), ...bytes])
    },
  }
}
