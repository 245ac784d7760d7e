import { CODEC_NAMES, type CodecName, type Encoding } from '../core/encoding.ts'
import {
  COLUMNS,
  type Column,
  KIND_RANGE,
  KINDS,
  MAX_MAP_STEPS,
  malformed,
  type Op,
  type Program,
} from './program.ts'
import { readVarints, unzigzag, type VarintReader } from './varint.ts'

const MAX_BLOCKS = 2 ** 20
const MAX_RUNS = 2 ** 16
/** Of all blocks: a run of two bytes takes twenty times that in memory. */
const MAX_ALL_RUNS = 2 ** 21
const MAX_ENCODINGS = 64
const MAX_PARAMS = 8
const MAX_SHAPE_NUMBERS = 64

/** Reads the head; operations are read when asked for. Throws `BUNDLE_MALFORMED`. */
export function readProgram(bytes: Uint8Array): Program {
  const numbers = readVarints(bytes, 0, bytes.length)
  const encodings = readList(numbers, MAX_ENCODINGS, () => readEncoding(numbers))
  let expected = 0
  let allRuns = 0
  const blocks = readList(numbers, MAX_BLOCKS, () => {
    const codec = readCodec(numbers)
    const runs = readList(numbers, MAX_RUNS, () => {
      if (++allRuns > MAX_ALL_RUNS) throw malformed(`lists more than ${MAX_ALL_RUNS} runs`)
      const run = { from: expected + unzigzag(numbers.next()), bytes: numbers.next() }
      expected = run.from + run.bytes
      return run
    })
    return { codec, runs, content: numbers.next() }
  })
  const start = numbers.position()
  return { encodings, blocks, ops: () => readOps(bytes, start) }
}

function readList<Item>(numbers: VarintReader, most: number, read: () => Item): Item[] {
  const count = numbers.next()
  if (count > most) throw malformed(`lists ${count} items, at most ${most} are allowed`)
  return Array.from({ length: count }, read)
}

function readEncoding(numbers: VarintReader): Encoding {
  const codec = readCodec(numbers)
  return { codec, params: readList(numbers, MAX_PARAMS, () => numbers.next()) }
}

function readCodec(numbers: VarintReader): CodecName {
  const number = numbers.next()
  const codec = CODEC_NAMES[number]
  if (codec === undefined) throw malformed(`names codec ${number}`)
  return codec
}

type Columns = Readonly<Record<Column, VarintReader>>

interface OpReader {
  readonly columns: Columns
  readonly expected: { base: number; self: number }
  streams: number
}

function* readOps(bytes: Uint8Array, start: number): Generator<Op, void, undefined> {
  const { columns, ends } = openColumns(bytes, start)
  const reader: OpReader = { columns, expected: { base: 0, self: 0 }, streams: 0 }
  while (columns.ops.position() < ends.ops) yield readOp(reader)
  if (COLUMNS.some((name) => columns[name].position() < ends[name]))
    throw malformed('has numbers that no operation takes')
}

function openColumns(bytes: Uint8Array, start: number) {
  const lengths = readVarints(bytes, start, bytes.length)
  const sizes = COLUMNS.map(() => lengths.next())
  let at = lengths.position()
  if (sizes.reduce((sum, size) => sum + size, at) !== bytes.length)
    throw malformed('does not end where its numbers end')
  const ranges = COLUMNS.map((name, index) => {
    const end = at + (sizes[index] ?? 0)
    const numbers = readVarints(bytes, at, end)
    at = end
    return { name, numbers, end }
  })
  return {
    columns: Object.fromEntries(ranges.map(({ name, numbers }) => [name, numbers])) as Columns,
    ends: Object.fromEntries(ranges.map(({ name, end }) => [name, end])) as Record<Column, number>,
  }
}

function readOp(reader: OpReader): Op {
  const head = reader.columns.ops.next()
  const size = Math.floor(head / KIND_RANGE)
  const kind = KINDS[head % KIND_RANGE]
  switch (kind) {
    case 'zero':
    case 'literal':
      return { kind, bytes: size }
    case 'copy':
    case 'patch':
    case 'moved':
      return { kind, bytes: size, from: readPlace(reader, 'base', size) }
    case 'self':
      return { kind, bytes: size, from: readPlace(reader, 'self', size) }
    case 'take':
    case 'drop':
      return { kind, bytes: size, stream: readStream(reader) }
    case undefined:
      throw malformed(`has an operation of unknown kind ${head % KIND_RANGE}`)
    default:
      return readOther(reader, kind, size)
  }
}

function readOther(reader: OpReader, kind: 'pack' | 'open' | 'feed' | 'map' | 'aim', size: number): Op {
  const { rest } = reader.columns
  switch (kind) {
    case 'pack': {
      const encoding = rest.next()
      const consumed = size - unzigzag(rest.next())
      return { kind, bytes: size, encoding, consumed, kept: rest.next(), stored: rest.next() }
    }
    case 'open':
      reader.streams += 1
      return { kind, encoding: size }
    case 'feed': {
      const stream = readStream(reader)
      const made = rest.next()
      return { kind, bytes: size, stream, made: Math.floor(made / 2), last: made % 2 === 1 }
    }
    case 'map':
      return { kind, map: readMap(reader.columns, size) }
    case 'aim': {
      if (size > MAX_SHAPE_NUMBERS) throw malformed(`has a shape of ${size} numbers`)
      const shape = Array.from({ length: size }, () => unzigzag(rest.next()))
      return { kind, shape, ahead: unzigzag(rest.next()), nowAt: unzigzag(rest.next()) }
    }
  }
}

function readPlace({ columns, expected }: OpReader, space: 'base' | 'self', bytes: number): number {
  const from = expected[space] + unzigzag(columns[space === 'base' ? 'base' : 'rest'].next())
  expected[space] = from + bytes
  return from
}

function readStream({ columns, streams }: OpReader): number {
  return streams - 1 - columns.rest.next()
}

function readMap({ starts, shifts }: Columns, count: number): Float64Array {
  if (count > MAX_MAP_STEPS)
    throw malformed(`has a map of ${count} steps, at most ${MAX_MAP_STEPS} are allowed`)
  const map = new Float64Array(2 * count + 1)
  let start = 0
  let shift = 0
  for (let i = 0; i < count; i++) {
    start += unzigzag(starts.next())
    shift += unzigzag(shifts.next())
    map[i] = start
    map[count + i] = shift
  }
  map[2 * count] = start + unzigzag(starts.next())
  return map
}
