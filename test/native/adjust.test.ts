import { describe, expect, test } from 'vitest'
import type { Aim } from '../../src/core/codecs.ts'
import { CODE_SHAPE, COUNTS_FROM, type Field, type Shape, tableShape } from '../../src/core/shape.ts'
import { nativeCodecs } from '../../src/host/delta-codecs.ts'

const codecs = nativeCodecs()

/** What lies at 0x1000 to 0x1fff is 0x100 further on, at 0x2000 to 0x2fff half a page before; the rest stays. */
const MAP = Float64Array.from([0x1000, 0x2000, 0x100, -0x800, 0x3000])
const CODE_AT = 0x500

function adjusted(bytes: Buffer, aim: Partial<Aim>): Buffer {
  const copy = Buffer.from(bytes)
  codecs.adjust(copy, { shape: CODE_SHAPE, map: MAP, oldAt: CODE_AT, nowAt: CODE_AT, bare: false, ...aim })
  return copy
}

// ---- code

/** An instruction that points to `to`, with `tail` bytes behind the distance, as it stands at `at`. */
function pointing(opcode: readonly number[], to: number, at = CODE_AT): Buffer {
  const bytes = Buffer.alloc(opcode.length + 4)
  bytes.set(opcode)
  bytes.writeInt32LE(to - at - bytes.length, opcode.length)
  return bytes
}

const INSTRUCTIONS: readonly [string, readonly number[]][] = [
  ['call', [0xe8]],
  ['jmp', [0xe9]],
  ['jz', [0x0f, 0x84]],
  ['jg', [0x0f, 0x8f]],
  ['mov rax, [rip + …]', [0x48, 0x8b, 0x05]],
  ['lea rdi, [rip + …]', [0x48, 0x8d, 0x3d]],
  ['call [rip + …]', [0xff, 0x15]],
]

describe.each(INSTRUCTIONS)('%s', (_, opcode) => {
  const nop = Buffer.alloc(7, 0x90)
  const code = (to: number, at: number): Buffer =>
    Buffer.concat([nop, pointing(opcode, to, at + nop.length), nop])

  test('leads to where its target is now', () => {
    expect(adjusted(code(0x1234, CODE_AT), {})).toEqual(code(0x1334, CODE_AT))
    expect(adjusted(code(0x2345, CODE_AT), {})).toEqual(code(0x1b45, CODE_AT))
  })

  test('leads there from where it is now itself', () => {
    expect(adjusted(code(0x1234, CODE_AT), { nowAt: 0x9000 })).toEqual(code(0x1334, 0x9000))
  })

  test('stays when it leads out of the map', () => {
    for (const to of [0xfff, 0x3000, 0x7000, -0x100])
      expect(adjusted(code(to, CODE_AT), { nowAt: 0x9000 })).toEqual(code(to, CODE_AT))
  })

  test('says where its target is, when bare, wherever it stands', () => {
    const [one, other] = [CODE_AT, 0x5000].map((oldAt) =>
      adjusted(code(0x1234, oldAt), { oldAt, bare: true }),
    )
    expect(one).toEqual(other)
    expect(one?.readInt32LE(nop.length + opcode.length)).toBe(0x1334)
  })

  test('stays when its distance is not all there', () => {
    const whole = code(0x1234, CODE_AT).subarray(0, nop.length + opcode.length + 4)
    expect(adjusted(whole, {})).not.toEqual(whole)
    for (let missing = 1; missing < 4; missing++) {
      const part = whole.subarray(0, -missing)
      expect(adjusted(part, {}), `${missing} bytes are missing`).toEqual(part)
    }
  })
})

describe('code', () => {
  test('goes on behind a number that was adjusted, and with the next byte else', () => {
    // The distance of the first call has another call's opcode in it.
    const within = pointing([0xe8], 0x10ed)
    expect(within[1]).toBe(0xe8)
    expect(adjusted(within, {})).toEqual(pointing([0xe8], 0x11ed))
    const unmapped = Buffer.concat([Buffer.from([0xe8]), pointing([0xe8], 0x1234, CODE_AT + 1)])
    const changed = Buffer.concat([Buffer.from([0xe8]), pointing([0xe8], 0x1334, CODE_AT + 1)])
    expect(adjusted(unmapped, {})).toEqual(changed)
  })

  test('in each piece starts anew, so pieces of whole instructions are as good as all at once', () => {
    const calls = Array.from({ length: 100 }, (_, i) => pointing([0xe8], 0x1000 + i * 64, CODE_AT + i * 5))
    const whole = adjusted(Buffer.concat(calls), { nowAt: 0x700 })
    const pieces = calls.map((call, i) => adjusted(call, { oldAt: CODE_AT + i * 5, nowAt: 0x700 + i * 5 }))
    expect(Buffer.concat(pieces)).toEqual(whole)
  })

  test('whose distance would not fit stays', () => {
    const map = Float64Array.from([0x1000, 2 ** 31, 0x2000])
    const call = pointing([0xe8], 0x1234)
    expect(adjusted(call, { map })).toEqual(call)
    expect(adjusted(call, { map, nowAt: 2 ** 31 })).toEqual(pointing([0xe8], 2 ** 31 + 0x1234, 2 ** 31))
    // Bare numbers are not read again: the low half is enough.
    expect(adjusted(call, { map, bare: true }).readInt32LE(1)).toBe(0x1234 - 2 ** 31)
  })
})

describe('a map', () => {
  const target = (to: number, map = MAP): number => {
    const moved = adjusted(pointing([0xe8], to), { map })
    return moved.readInt32LE(1) + CODE_AT + moved.length
  }

  test('counts from its first start to before its end', () => {
    const borders = [0xfff, 0x1000, 0x1fff, 0x2000, 0x2fff, 0x3000]
    expect(borders.map((to) => target(to))).toEqual([0xfff, 0x1100, 0x20ff, 0x1800, 0x27ff, 0x3000])
  })

  test('of many steps is searched to the right one', () => {
    const count = 1001
    const map = new Float64Array(2 * count + 1)
    for (let i = 0; i < count; i++) map.set([i * 16], i)
    for (let i = 0; i < count; i++) map.set([i * 1000], count + i)
    map[2 * count] = count * 16
    for (let i = 0; i < count; i++) {
      expect(target(i * 16, map)).toBe(i * 1016)
      expect(target(i * 16 + 15, map)).toBe(i * 1016 + 15)
    }
  })

  test('without steps moves nothing', () => {
    expect(target(0x1234, Float64Array.from([0]))).toBe(0x1234)
    expect(target(0x1234, Float64Array.from([0x7000]))).toBe(0x1234)
  })

  test('counts for each step how many numbers point there', () => {
    const uses = Uint32Array.from([5, 0])
    const calls = [0x1000, 0x1fff, 0x2000, 0x3000, 0xfff].map((to) => pointing([0xe8], to))
    for (const call of calls) adjusted(call, { uses })
    expect([...uses]).toEqual([7, 1])
  })

  test('with an empty step takes the one behind it', () => {
    expect(target(0x1000, Float64Array.from([0x1000, 0x1000, 1, 2, 0x2000]))).toBe(0x1002)
  })
})

// ---- tables

const field = (change: Partial<Field> = {}): Field => ({
  offset: 0,
  width: 8,
  from: COUNTS_FROM.origin,
  ...change,
})

const int64 = (...values: number[]): Buffer => Buffer.from(BigInt64Array.from(values.map(BigInt)).buffer)
const int32 = (...values: number[]): Buffer => Buffer.from(Int32Array.from(values).buffer)

describe('a table', () => {
  const TABLE_AT = 0x8000
  const at = (shape: Shape, change: Partial<Aim> = {}): Partial<Aim> => ({
    ...{ shape, oldAt: TABLE_AT, nowAt: TABLE_AT },
    ...change,
  })

  test('of addresses', () => {
    const shape = tableShape(8, TABLE_AT, [field()])
    const moved = int64(0x1100, 0x1800, 0x3000, -5)
    expect(adjusted(int64(0x1000, 0x2000, 0x3000, -5), at(shape))).toEqual(moved)
    expect(adjusted(int64(0x1000, 0x2000, 0x3000, -5), at(shape, { bare: true }))).toEqual(moved)
  })

  test('of addresses just below zero, as in a kernel', () => {
    const map = Float64Array.from([-0x2000, 0x10, -0x1000])
    expect(adjusted(int64(-0x1800, -0x800), at(tableShape(8, TABLE_AT, [field()]), { map }))).toEqual(
      int64(-0x17f0, -0x800),
    )
  })

  test('of distances from an origin that moves as well', () => {
    const shape = tableShape(4, TABLE_AT, [field({ width: 4, origin: 0x1000 })])
    // The origin moves by 0x100, and so does all that lies with it; what lies behind moves back.
    expect(adjusted(int32(0x10, 0x1010, 0x5000), at(shape))).toEqual(int32(0x10, 0x710, 0x5000))
    expect(adjusted(int32(0x10), at(shape, { bare: true }))).toEqual(int32(0x1110))
    const fixed = tableShape(4, TABLE_AT, [field({ width: 4, origin: 0x100 })])
    expect(adjusted(int32(0x1000), at(fixed))).toEqual(int32(0x1100))
  })

  test('of distances from the field itself', () => {
    const shape = tableShape(4, TABLE_AT, [field({ width: 4, from: COUNTS_FROM.itself })])
    const distances = [0x1000, 0x2000, 0x7000].map((to, i) => to - (TABLE_AT + 4 * i))
    const now = [0x1100, 0x1800].map((to, i) => to - (0x9000 + 4 * i))
    expect(adjusted(int32(...distances), at(shape, { nowAt: 0x9000 }))).toEqual(
      int32(...now, distances[2] ?? 0),
    )
    expect(adjusted(int32(...distances), at(shape, { bare: true })).readInt32LE(4)).toBe(0x1800)
  })

  test('of numbers that count more than a byte, where they come out whole', () => {
    const shape = tableShape(4, TABLE_AT, [field({ width: 4, scale: 8, origin: 0x1000 })])
    const map = Float64Array.from([0x1000, 0x1100, 0x1200, 0, 4, 8, 0x2000])
    const words = [0x10, 0x100, 0x200].map((bytes) => bytes / 8)
    // What has moved by 4 cannot be counted in eights.
    expect(adjusted(int32(...words), at(shape, { map }))).toEqual(int32(0x10 / 8, 0x100 / 8, 0x208 / 8))
  })

  test('of numbers that grow from record to record', () => {
    const shape = tableShape(8, TABLE_AT, [field({ from: COUNTS_FROM.record, scale: 3 })])
    const records = int64(100, 103, 106)
    // Two records more lie before it now.
    expect(adjusted(records, at(shape, { nowAt: TABLE_AT + 16 }))).toEqual(int64(106, 109, 112))
    expect(adjusted(records, at(shape, { bare: true }))).toEqual(int64(100, 100, 100))
    const later = at(shape, { oldAt: TABLE_AT + 8, bare: true })
    expect(adjusted(records.subarray(8), later)).toEqual(int64(100, 100))
  })

  test('with several fields in a record, and bytes between them', () => {
    const record = (address: number, number: number): Buffer =>
      Buffer.concat([Buffer.from([1, 2, 3]), int64(address), Buffer.from([4]), int32(number)])
    const shape = tableShape(16, TABLE_AT, [
      field({ offset: 3 }),
      field({ offset: 12, width: 4, from: COUNTS_FROM.record }),
    ])
    expect(adjusted(record(0x1000, 7), at(shape, { nowAt: TABLE_AT + 32 }))).toEqual(record(0x1100, 9))
  })

  test('that starts within a record has its fields where they are, and cut ones stay', () => {
    const shape = tableShape(12, TABLE_AT, [field({ offset: 4 })])
    const record = (to: number): Buffer => Buffer.concat([int32(1), int64(to)])
    const [before, after] = [0x1000, 0x1100].map((to) => Buffer.concat([record(to), record(to), record(to)]))
    if (!before || !after) throw new Error('two tables')
    /** A part, in which each field that is whole is as after. */
    const wantedIn = (start: number, end: number): Buffer => {
      const wanted = Buffer.from(before.subarray(start, end))
      for (const place of [4, 16, 28])
        if (place >= start && place + 8 <= end) after.copy(wanted, place - start, place, place + 8)
      return wanted
    }
    for (let start = 0; start < 24; start++) {
      const aim = at(shape, { oldAt: TABLE_AT + start, nowAt: TABLE_AT + start })
      for (const end of [24, 25, 31, 35, 36])
        expect(adjusted(before.subarray(start, end), aim), `${start} to ${end}`).toEqual(wantedIn(start, end))
    }
  })

  test('may start before its origin', () => {
    const shape = tableShape(8, TABLE_AT + 16, [field({ from: COUNTS_FROM.record })])
    expect(adjusted(int64(5, 6, 7, 8), at(shape, { bare: true }))).toEqual(int64(7, 7, 7, 7))
  })

  test('keeps numbers that do not fit, or are beyond what is exact', () => {
    const map = Float64Array.from([0x800, 2 ** 31, 0x3000])
    const narrow = tableShape(4, TABLE_AT, [field({ width: 4 })])
    expect(adjusted(int32(0x1000), at(narrow, { map }))).toEqual(int32(0x1000))
    const wide = tableShape(8, TABLE_AT, [field()])
    expect(adjusted(int64(0x1000), at(wide, { map }))).toEqual(int64(2 ** 31 + 0x1000))
    const far = Buffer.alloc(8, 0x7f)
    expect(adjusted(far, at(wide))).toEqual(far)
    const record = tableShape(8, TABLE_AT, [field({ from: COUNTS_FROM.record })])
    expect(adjusted(far, at(record, { nowAt: 2 * TABLE_AT }))).toEqual(far)
  })
})

describe('what makes no sense throws', () => {
  const table = (...numbers: number[]): Shape => [1, 8, 0, ...numbers]

  test.each<[string, Shape]>([
    ['no shape', []],
    ['an unknown kind', [2]],
    ['code with more to it', [0, 0]],
    ['half a table', [1, 8]],
    ['half a field', table(0, 4, 0)],
    ['records of no bytes', [1, 0, 0]],
    ['records of too many bytes', [1, 4097, 0]],
    ['records of no number', [1, Number.NaN, 0]],
    ['a start beyond what is exact', [1, 8, 2 ** 54]],
    ['a field before its record', table(-1, 4, 0, 1, 0)],
    ['a field behind its record', table(5, 4, 0, 1, 0)],
    ['a field of three bytes', table(0, 3, 0, 1, 0)],
    ['a field that counts from nowhere', table(0, 4, 3, 1, 0)],
    ['a scale of nothing', table(0, 4, 0, 0, 0)],
    ['a scale too large', table(0, 4, 0, 4097, 0)],
    ['an origin beyond what is exact', table(0, 4, 0, 1, -(2 ** 54))],
    ['the second field', table(0, 4, 0, 1, 0, 4, 5, 0, 1, 0)],
  ])('%s', (_, shape) => {
    expect(() => adjusted(Buffer.alloc(64), { shape })).toThrow(expect.objectContaining({ code: 'EINVAL' }))
  })

  test('counts of more or fewer steps than there are', () => {
    for (const steps of [0, 1, 3])
      expect(() => adjusted(Buffer.alloc(64), { uses: new Uint32Array(steps) })).toThrow(
        'expected a count for each step',
      )
  })

  test('a map without an end, and addresses beyond what is exact', () => {
    for (const map of [new Float64Array(0), new Float64Array(4)])
      expect(() => adjusted(Buffer.alloc(64), { map })).toThrow('a map without an end')
    for (const at of [2 ** 54, -(2 ** 54), Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => adjusted(Buffer.alloc(64), { oldAt: at })).toThrow('expected addresses')
      expect(() => adjusted(Buffer.alloc(64), { nowAt: at })).toThrow('expected addresses')
    }
  })
})

test('nothing is written outside of the bytes that are given', () => {
  const memory = Buffer.alloc(4096, 0xe8)
  const shapes = [CODE_SHAPE, tableShape(8, 0, [field()]), tableShape(12, 0, [field({ offset: 4 })])]
  const map = Float64Array.from([-(2 ** 40), 5, 2 ** 40])
  for (const shape of shapes)
    for (let bytes = 0; bytes < 64; bytes++)
      codecs.adjust(memory.subarray(2000, 2000 + bytes), { shape, map, oldAt: 3, nowAt: 7, bare: false })
  expect(memory.subarray(0, 2000).every((byte) => byte === 0xe8)).toBe(true)
  expect(memory.subarray(2063).every((byte) => byte === 0xe8)).toBe(true)
})
