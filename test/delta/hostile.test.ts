import { beforeAll, describe, expect, test } from 'vitest'
import type { Codecs } from '../../src/core/codecs.ts'
import { CODEC_NAMES, type Encoding } from '../../src/core/encoding.ts'
import { PineError } from '../../src/core/error.ts'
import type { Region } from '../../src/core/region.ts'
import { checkBlocks } from '../../src/delta/check-blocks.ts'
import {
  type AimOp,
  type Block,
  COLUMNS,
  type Column,
  type Op,
  type ProgramHead,
} from '../../src/delta/program.ts'
import { writeVarint, zigzag } from '../../src/delta/varint.ts'
import { encodeHead } from '../../src/delta/write-program.ts'
import { numbers } from '../native/content.ts'
import { codecs, codeOf, noise } from '../support/bundles.ts'
import { memoryRegion } from '../support/memory-region.ts'
import { applyProgram, programOf } from '../support/programs.ts'
import { type Honest, makeHonest } from './honest.ts'

const CHUNK = 4096
const MiB = 1024 * 1024
/** Two chunks of noise, and a short one of zeros. */
const base = noise(10_000, 2)
const image = Buffer.concat([base.subarray(0, CHUNK), noise(CHUNK, 3), Buffer.alloc(1000)])
const FIRST: Op = { kind: 'copy', bytes: CHUNK, from: 0 }
const SECOND: Op = { kind: 'literal', bytes: CHUNK }
const LAST: Op = { kind: 'zero', bytes: 1000 }
const HEAD: ProgramHead = { encodings: [{ codec: 'zlib', params: [9, 15, 0] }], blocks: [] }

/** A place where the image belongs, which nobody may write to. */
function untouchable(bytes = image.length): Region {
  return {
    ...memoryRegion(Buffer.alloc(bytes, 0xee)),
    write: () => Promise.reject(new Error('something was written')),
  }
}

function apply(program: Buffer): Promise<string> {
  return codeOf(() => applyProgram({ program, base, image, literal: noise(CHUNK, 3) }, untouchable()))
}

/** Refused before the first write, with these words. */
async function refuses(program: Buffer, why: RegExp): Promise<void> {
  const applied = applyProgram({ program, base, image, literal: noise(CHUNK, 3) }, untouchable())
  await expect(applied).rejects.toMatchObject({
    code: 'BUNDLE_MALFORMED',
    message: expect.stringMatching(why),
  })
}

const refusesOps = (why: RegExp, ...ops: Op[]): Promise<void> => refuses(programOf(HEAD, ops), why)

/** Numbers as they stand in a program, for what the writer cannot say. */
function raw(...list: number[]): Buffer {
  const bytes: number[] = []
  for (const number of list) writeVarint(bytes, number)
  return Buffer.from(bytes)
}

/** Operations as their columns of numbers. */
function columns(numbers: Partial<Record<Column, readonly number[]>>): Buffer {
  const bytes = COLUMNS.map((name) => raw(...(numbers[name] ?? [])))
  return Buffer.concat([encodeHead(HEAD), raw(...bytes.map(({ length }) => length)), ...bytes])
}

/** The place of each kind in the first number of an operation. */
const KIND = { zero: 0, copy: 2, take: 5, open: 7, feed: 8, map: 11, aim: 12, unknown: 13 }
const head = (kind: number, size: number): number => size * 16 + kind

test('the honest program makes the image', async () => {
  const slot = memoryRegion(Buffer.alloc(image.length))
  const program = programOf(HEAD, [FIRST, SECOND, LAST])
  await applyProgram({ program, base, image, literal: noise(CHUNK, 3) }, slot)
  expect(slot.content.equals(image)).toBe(true)
})

describe('refused before the first write', () => {
  test('an image that comes out too short or too long', async () => {
    await refusesOps(/makes 0 bytes/)
    await refusesOps(/makes 8192 bytes, the image has 9192/, FIRST, SECOND)
    await refusesOps(/where 1000 are left/, FIRST, SECOND, { kind: 'zero', bytes: 1001 })
    await refusesOps(/where 0 are left/, FIRST, SECOND, LAST, { kind: 'zero', bytes: 1 })
    await refusesOps(/where 9192 are left/, { kind: 'zero', bytes: 2 ** 48 })
    await refusesOps(/makes 0 bytes where/, { kind: 'zero', bytes: 0 }, FIRST, SECOND, LAST)
  })

  test.each(['copy', 'patch'] as const)('a %s from outside the base', async (kind) => {
    for (const from of [-1, base.length - CHUNK + 1, base.length, 2 ** 50, -(2 ** 50)])
      await refusesOps(/of a base of 10000/, { kind, bytes: CHUNK, from }, SECOND, LAST)
  })

  test('more data at once than a segment holds', async () => {
    const large = Buffer.alloc(MiB + 1)
    for (const kind of ['literal', 'patch'] as const) {
      const program = programOf(HEAD, [{ kind, bytes: large.length, from: 0 }])
      const applied = applyProgram({ program, base: large, image: large }, untouchable(large.length))
      await expect(applied).rejects.toMatchObject({ code: 'BUNDLE_MALFORMED' })
    }
  })

  test('a copy of what is not there yet', async () => {
    const self = (bytes: number, from: number): Op => ({ kind: 'self', bytes, from })
    await refusesOps(/before they exist/, self(CHUNK, 0), SECOND, LAST)
    await refusesOps(/before they exist/, FIRST, self(CHUNK, 1), LAST)
    await refusesOps(/before they exist/, FIRST, SECOND, self(1000, 2 * CHUNK - 999))
    await refusesOps(/before they exist/, FIRST, self(CHUNK, -1), LAST)
    await refusesOps(/before they exist/, FIRST, self(CHUNK, image.length), LAST)
    await refusesOps(/before they exist/, FIRST, self(CHUNK, 2 ** 50), LAST)
    // Its own chunk is not complete, although these bytes of it are made.
    await refusesOps(/before they exist/, FIRST, { kind: 'zero', bytes: 2000 }, self(2096, CHUNK), LAST)
  })

  test('a copy of a block that is not in the image yet', async () => {
    const block: Op[] = [pack({ bytes: 500, consumed: 500, stored: 100 }), { kind: 'zero', bytes: 500 }]
    const rest: Op = { kind: 'zero', bytes: image.length - 100 - 50 }
    await refusesOps(/before they exist/, ...block, { kind: 'self', bytes: 50, from: image.length }, rest)
    const behind: Op = { kind: 'self', bytes: 50, from: image.length + 451 }
    const late: Op = { kind: 'zero', bytes: image.length - 100 - CHUNK - 50 }
    await refusesOps(/before they exist/, ...block, { kind: 'zero', bytes: CHUNK }, behind, late)
  })
})

function pack(sizes: {
  bytes: number
  consumed: number
  stored: number
  kept?: number
  encoding?: number
}): Op {
  return { kind: 'pack', encoding: 0, kept: 0, ...sizes }
}

describe('blocks that lie are refused before the first write', () => {
  const content: Op = { kind: 'zero', bytes: 500 }
  const rest: Op = { kind: 'zero', bytes: image.length - 100 }

  test.each<[string, RegExp, Op[]]>([
    [
      'no such encoding',
      /no encoding 7/,
      [pack({ bytes: 500, consumed: 500, stored: 100, encoding: 7 }), content, rest],
    ],
    [
      'more in it than there is',
      /packs 501/,
      [pack({ bytes: 500, consumed: 501, stored: 100 }), content, rest],
    ],
    ['nothing in it', /packs 0/, [pack({ bytes: 500, consumed: 0, stored: 100 }), content, rest]],
    [
      'keeps more than is left',
      /keeps 2/,
      [pack({ bytes: 500, consumed: 499, kept: 2, stored: 100 }), content, rest],
    ],
    ['takes no room', /block of 0 bytes/, [pack({ bytes: 500, consumed: 500, stored: 0 }), content, rest]],
    [
      'more than the image',
      /block of 9193/,
      [pack({ bytes: 500, consumed: 500, stored: 9193 }), content, rest],
    ],
    ['huge content', /packs/, [pack({ bytes: 2 ** 40, consumed: 2 ** 40, stored: 100 }), content, rest]],
    [
      'content that is too long',
      /where 500 are left/,
      [pack({ bytes: 500, consumed: 500, stored: 100 }), rest],
    ],
    ['content that ends', /middle of a block/, [pack({ bytes: 501, consumed: 501, stored: 100 }), content]],
    [
      'a block in a block',
      /inside a block/,
      [
        pack({ bytes: 500, consumed: 500, stored: 100 }),
        pack({ bytes: 500, consumed: 500, stored: 50 }),
        content,
        rest,
      ],
    ],
    [
      'kept for nothing',
      /keeps content/,
      [pack({ bytes: 500, consumed: 400, kept: 100, stored: 100 }), content, rest],
    ],
    [
      'kept to the end',
      /nothing takes/,
      [rest, pack({ bytes: 500, consumed: 400, kept: 100, stored: 100 }), content],
    ],
  ])('%s', async (_, why, ops) => {
    await refusesOps(why, ...ops)
  })

  test.each<[string, RegExp, ProgramHead['blocks'][number]]>([
    [
      'outside the base',
      /outside the base/,
      { codec: 'zlib', runs: [{ from: 9901, bytes: 100 }], content: 500 },
    ],
    [
      'before the base',
      /outside the base/,
      { codec: 'zlib', runs: [{ from: -1, bytes: 100 }], content: 500 },
    ],
    ['in itself', /outside the base/, { codec: 'zlib', runs: [{ from: 10_000, bytes: 100 }], content: 500 }],
    ['of an empty run', /outside the base/, { codec: 'zlib', runs: [{ from: 0, bytes: 0 }], content: 500 }],
    ['of no runs', /block of 0 bytes/, { codec: 'zlib', runs: [], content: 500 }],
    ['of no content', /for 0/, { codec: 'zlib', runs: [{ from: 0, bytes: 100 }], content: 0 }],
    [
      'of huge content',
      /for 16777217/,
      { codec: 'zlib', runs: [{ from: 0, bytes: 100 }], content: 16 * MiB + 1 },
    ],
    [
      'of huge stored bytes',
      /base block of/,
      { codec: 'zlib', runs: Array(1700).fill({ from: 0, bytes: 10_000 }), content: 500 },
    ],
  ])('a block of the base %s', async (_, why, block) => {
    await refuses(programOf({ ...HEAD, blocks: [block] }, [FIRST, SECOND, LAST]), why)
  })
})

describe('streams that lie are refused before the first write', () => {
  const open: Op = { kind: 'open', encoding: 0 }
  const feed = (change: Partial<Op & { kind: 'feed' }> = {}): Op[] => [
    { kind: 'feed', bytes: 500, stream: 0, made: 1000, last: true, ...change },
    { kind: 'zero', bytes: 500 },
  ]
  const take = (bytes: number): Op => ({ kind: 'take', bytes, stream: 0 })

  test.each<[string, RegExp, Op[]]>([
    ['no such encoding', /no encoding 1/, [{ kind: 'open', encoding: 1 }, FIRST, SECOND, LAST]],
    ['one byte more than it gave', /takes 1001/, [open, ...feed(), FIRST, take(1001)]],
    ['the same bytes twice', /stream that has 0/, [open, ...feed(), FIRST, take(1000), take(1000)]],
    [
      'bytes that were dropped',
      /stream that has 500/,
      [
        ...[open, ...feed(), FIRST, SECOND],
        ...[{ kind: 'drop', bytes: 500, stream: 0 } as const, take(1000)],
      ],
    ],
    ['more dropped than there is', /takes 1001/, [open, ...feed(), { kind: 'drop', bytes: 1001, stream: 0 }]],
    ['fed after its end', /not open/, [open, ...feed(), ...feed(), FIRST, SECOND, LAST]],
    ['fed huge pieces', /feeds 16777217/, [open, ...feed({ bytes: 16 * MiB + 1 })]],
    ['holds back too much', /holds back/, [open, ...feed({ made: 2 ** 40 }), FIRST, SECOND, LAST]],
    ['content that ends', /middle of a block/, [open, ...feed({ bytes: 501 })]],
    [
      'a block in it',
      /inside a block/,
      [open, ...feed().slice(0, 1), pack({ bytes: 500, consumed: 500, stored: 9 })],
    ],
    ['takes what it gives itself', /stream that has 0/, [open, ...feed().slice(0, 1), take(500)]],
  ])('%s', async (_, why, ops) => {
    await refusesOps(why, ...ops)
  })

  test('one that was never opened', async () => {
    const [opens, takes, feeds] = [head(KIND.open, 0), head(KIND.take, 10), head(KIND.feed, 10)]
    await refuses(columns({ ops: [takes], rest: [0] }), /stream that has 0/)
    await refuses(columns({ ops: [opens, takes], rest: [1] }), /stream that has 0/)
    await refuses(columns({ ops: [opens, feeds], rest: [5, 20] }), /not open/)
  })
})

describe('addresses that lie are refused before the first write', () => {
  const map: Op = { kind: 'map', map: Float64Array.from([0, 0, 9000]) }
  const aim = (change: Partial<AimOp> = {}): Op => ({
    kind: 'aim',
    shape: [0],
    ahead: 0,
    nowAt: 0,
    ...change,
  })
  const moved = (bytes = CHUNK, from = 0): Op => ({ kind: 'moved', bytes, from })

  test.each<[string, RegExp, Op[]]>([
    ['no map', /without saying how/, [aim(), moved(), SECOND, LAST]],
    ['no aim', /without saying how/, [map, moved(), SECOND, LAST]],
    ['from outside the base', /of a base of/, [map, aim(), moved(CHUNK, base.length), SECOND, LAST]],
    ['a map that goes back', /goes back/, [{ kind: 'map', map: Float64Array.from([9, 5, 0, 0, 10]) }]],
    ['a map that ends before it starts', /goes back/, [{ kind: 'map', map: Float64Array.from([9, 0, 5]) }]],
    [
      'a shift into nowhere',
      /impossible address/,
      [{ kind: 'map', map: Float64Array.from([2 ** 51, 2 ** 51 + 2, 2 ** 51 + 4]) }],
    ],
    ['a start nowhere', /impossible address/, [aim({ nowAt: 2 ** 52 - 10 }), map, FIRST, moved(), LAST]],
    ['no shape', /shape/, [aim({ shape: [] })]],
    ['an unknown shape', /shape/, [aim({ shape: [2] })]],
    ['a record of no bytes', /shape/, [aim({ shape: [1, 0, 0, 0, 4, 0, 1, 0] })]],
    ['a field outside its record', /shape/, [aim({ shape: [1, 8, 0, 5, 4, 0, 1, 0] })]],
    ['half a field', /shape/, [aim({ shape: [1, 8, 0, 0, 4] })]],
    ['a field of three bytes', /shape/, [aim({ shape: [1, 8, 0, 0, 3, 0, 1, 0] })]],
    ['a scale of nothing', /shape/, [aim({ shape: [1, 8, 0, 0, 4, 0, 0, 0] })]],
    ['a shape of many numbers', /shape of 65/, [aim({ shape: Array(65).fill(0) })]],
  ])('%s', async (_, why, ops) => {
    await refusesOps(why, ...ops)
  })

  test('more at once than is ever adjusted', async () => {
    const large = Buffer.alloc(65_537)
    const program = programOf(HEAD, [map, aim(), moved(large.length)])
    const applied = applyProgram({ program, base: large, image: large }, untouchable(large.length))
    await expect(applied).rejects.toMatchObject({
      code: 'BUNDLE_MALFORMED',
      message: expect.stringMatching(/at once/),
    })
  })
})

describe('what cannot be read is refused before the first write', () => {
  test('unknown kinds', async () => {
    for (const kind of [13, 14, 15])
      await refuses(columns({ ops: [head(KIND.copy, CHUNK), head(kind, 10)], base: [0] }), /unknown kind/)
  })

  test('a program cut anywhere', async () => {
    const whole = programOf(
      { ...HEAD, blocks: [{ codec: 'zlib', runs: [{ from: 5, bytes: 9 }], content: 99 }] },
      [...[FIRST, SECOND, LAST]],
    )
    for (let bytes = 0; bytes < whole.length; bytes++)
      expect(await apply(whole.subarray(0, bytes)), `${bytes} bytes`).toBe('BUNDLE_MALFORMED')
    expect(await apply(Buffer.concat([whole, Buffer.alloc(1)]))).toBe('BUNDLE_MALFORMED')
  })

  test('more of anything than is allowed', async () => {
    await refuses(raw(65), /lists 65 items/)
    await refuses(raw(2 ** 50), /lists/)
    await refuses(raw(1, 1, 9), /lists 9 items/)
    await refuses(raw(1, 99, 0, 0), /names codec 99/)
    await refuses(raw(0, 2 ** 20 + 1), /lists 1048577/)
    await refuses(raw(0, 1, 1, 2 ** 16 + 1), /lists 65537/)
    await refuses(columns({ ops: [head(KIND.map, 65_537)] }), /map of 65537 steps/)
    await refuses(columns({ ops: [head(KIND.map, 2 ** 40)] }), /steps/)
    await refuses(columns({ ops: [head(KIND.aim, 2 ** 40)] }), /shape of/)
  })

  test('as much as is allowed, of which nothing is there', async () => {
    for (const program of [
      raw(64),
      raw(0, 2 ** 20),
      raw(0, 1, 1, 2 ** 16),
      columns({ ops: [head(KIND.map, 65_536)] }),
    ])
      await refuses(program, /ends in the middle/)
  })

  test('columns that do not hold what operations take', async () => {
    const whole = programOf(HEAD, [FIRST, SECOND, LAST])
    await refuses(Buffer.concat([whole, raw(0)]), /does not end where its numbers end/)
    await refuses(Buffer.concat([encodeHead(HEAD), raw(2 ** 50, 0, 0, 0, 0)]), /does not end where/)
    const copy = head(KIND.copy, CHUNK)
    for (const column of ['base', 'starts', 'shifts', 'rest'] as const)
      await refuses(columns({ ops: [head(KIND.zero, image.length)], [column]: [0] }), /no operation takes/)
    await refuses(columns({ ops: [copy, copy], base: [0] }), /ends in the middle/)
    // What one column lacks is not taken from the next.
    await refuses(columns({ ops: [copy], base: [], starts: [0] }), /ends in the middle/)
  })

  test('a distance that leaves the numbers', async () => {
    const copy = head(KIND.copy, CHUNK)
    await refuses(columns({ ops: [copy, copy], base: [-(2 ** 51), 2 ** 51 - 1].map(zigzag) }), /copies/)
    await refuses(columns({ ops: [head(KIND.zero, 2 ** 48)] }), /where 9192 are left/)
  })
})

describe('a program that says too little of what it needs', () => {
  test('is refused for each byte of memory that it does not name', async () => {
    const program = programOf(HEAD, [FIRST, SECOND, LAST])
    const attempt = (memoryBytes: number) =>
      applyProgram({ program, base, image, literal: noise(CHUNK, 3), memoryBytes }, untouchable())
    await expect(attempt(1000)).rejects.toMatchObject({
      code: 'BUNDLE_MALFORMED',
      message: expect.stringMatching(/applying needs \d+ bytes of memory, the bundle says 1000/),
    })
  })

  /** The number of bytes it asks for, as the refusal says. */
  async function neededBytes(program: Buffer): Promise<number> {
    const memoryBytes = program.length
    const error = await applyProgram({ program, base, image, memoryBytes }, untouchable()).catch(
      (e: Error) => e,
    )
    const [, bytes] = /needs (\d+) bytes/.exec(error instanceof Error ? error.message : '') ?? []
    return Number(bytes)
  }

  const block: Op[] = [pack({ bytes: 500, consumed: 500, stored: 1000 }), { kind: 'zero', bytes: 500 }]
  const feed = (stream: number, last: boolean): Op[] => [
    { kind: 'feed', bytes: 500, stream, made: 0, last },
    { kind: 'zero', bytes: 500 },
  ]
  const withEncoding = (encoding: Encoding, ...ops: Op[]): Buffer =>
    programOf({ ...HEAD, encodings: [encoding] }, [...ops, FIRST, SECOND, ...(ops === block ? [] : [LAST])])

  test('counts what encoders hold with their params', async () => {
    const at = (encoding: Encoding) =>
      neededBytes(programOf({ ...HEAD, encodings: [encoding] }, [FIRST, SECOND, ...block]))
    const none = await neededBytes(programOf(HEAD, [FIRST, SECOND, LAST]))
    expect((await at({ codec: 'zlib', params: [9, 15, 0] })) - none).toBeLessThan(MiB)
    // As if of a pipe: a window of 128 MiB, whatever is in it.
    expect((await at({ codec: 'zstd', params: [22, 2] })) - none).toBeGreaterThan(2 * 500 * MiB)
    expect((await at({ codec: 'xz', params: [9, 64 * MiB, 1, 0] })) - none).toBeGreaterThan(2 * 64 * MiB)
  })

  test('counts each stream that goes on, and what is unused not at all', async () => {
    const open: Op = { kind: 'open', encoding: 0 }
    const jobs: Encoding = { codec: 'zstd-mt', params: [19, 2] }
    const needs = async (...ops: Op[]): Promise<number> =>
      (await neededBytes(withEncoding(jobs, ...ops))) / MiB
    const none = await needs()
    const one = await needs(open, ...feed(0, false))
    expect(none).toBeLessThan(16)
    expect(one - none).toBeGreaterThan(80)
    const both = [open, open, ...feed(0, false), ...feed(1, false)]
    expect((await needs(...both)) - none).toBeCloseTo(2 * (one - none), 0)
    const inTurn = [open, open, ...feed(0, false), ...feed(0, true), ...feed(1, false), ...feed(1, true)]
    expect(await needs(...inTurn)).toBeCloseTo(one, 0)
  })

  test('counts the content of feeds in feeds, of which there are few', async () => {
    const open: Op = { kind: 'open', encoding: 0 }
    /** Of a megabyte each. */
    const nested = (depth: number): Op[] => {
      const heads = Array.from(
        { length: depth },
        (_, stream): Op => ({ kind: 'feed', bytes: MiB, stream, made: 0, last: true }),
      )
      const contents = heads.map((): Op => ({ kind: 'zero', bytes: MiB }))
      return [...heads.map(() => open), ...heads, ...contents]
    }
    const needs = (depth: number) =>
      neededBytes(withEncoding({ codec: 'gzip', params: [9] }, ...nested(depth)))
    expect((await needs(8)) - (await needs(1))).toBeCloseTo(7 * MiB, -3)
    await refusesOps(/feeds more than 8 deep/, ...nested(9))
    await refuses(programOf(HEAD, nested(50_000)), /feeds more than 8 deep/)
  })

  test('costs no memory before it is refused', async () => {
    const blocks = Array.from({ length: 1000 }, () => ({
      codec: 'xz' as const,
      runs: [{ from: 0, bytes: 10_000 }],
      content: 16 * MiB,
    }))
    const packs = Array.from({ length: 50 }, (_, index): Op[] => [
      pack({ bytes: 16 * MiB, consumed: 16 * MiB, stored: index === 49 ? image.length - 49 : 1 }),
      { kind: 'copy', bytes: 16 * MiB, from: base.length + index * 16 * MiB },
    ])
    const program = programOf({ ...HEAD, blocks }, packs.flat())
    const before = process.memoryUsage.rss()
    const applied = applyProgram({ program, base, image, memoryBytes: 32 * MiB }, untouchable())
    await expect(applied).rejects.toMatchObject({
      code: 'BUNDLE_MALFORMED',
      message: expect.stringMatching(/memory/),
    })
    expect(process.memoryUsage.rss() - before).toBeLessThan(32 * MiB)
  })
})

test('a program that is larger than the memory it names is not unpacked', async () => {
  const program = Buffer.alloc(16 * MiB)
  const unpacked: number[] = []
  const hostCodecs: Codecs = {
    ...codecs,
    openUnpacker: (...args) => {
      const unpacker = codecs.openUnpacker(...args)
      const unpack = (packed: Uint8Array, into: Uint8Array): void => {
        unpacked.push(into.length)
        unpacker.unpack(packed, into)
      }
      return { ...unpacker, unpack }
    },
  }
  const attempt = (memoryBytes: number) =>
    applyProgram({ program, base, image, memoryBytes, hostCodecs }, untouchable())
  const message = `applying needs ${program.length} bytes of memory, the bundle says ${program.length - 1}`
  await expect(attempt(program.length - 1)).rejects.toMatchObject({ code: 'BUNDLE_MALFORMED', message })
  expect(unpacked).toEqual([])
  await expect(attempt(program.length)).rejects.toMatchObject({ code: 'BUNDLE_MALFORMED' })
  expect(unpacked).toEqual([program.length])
})

describe('encodings that no encoder has are refused before the first write', () => {
  const block = pack({ bytes: 100, consumed: 100, stored: 900 })
  const content: Op = { kind: 'zero', bytes: 100 }
  const rest: Op = { kind: 'zero', bytes: 100 }

  test.each<[string, Encoding]>([
    ['a level of 99', { codec: 'zlib', params: [99, 15, 0] }],
    ['no params', { codec: 'zstd', params: [] }],
    ['too many params', { codec: 'lz4', params: [0] }],
    ['a number that is no int', { codec: 'lz4hc', params: [2 ** 40] }],
    ['a raw window of 8 bits', { codec: 'deflate', params: [9, 8, 8, 0] }],
    ['a check that nobody knows', { codec: 'xz', params: [6, 65_536, 2, 0] }],
    ['a preset that nobody knows', { codec: 'xz', params: [11, 65_536, 1, 0] }],
  ])('%s', async (_, encoding) => {
    const head = { ...HEAD, encodings: [encoding] }
    await refuses(programOf(head, [FIRST, SECOND, block, content, rest]), /impossible params of/)
    await refuses(programOf(head, [FIRST, SECOND, LAST]), /impossible params of/)
  })
})

describe('blocks in blocks', () => {
  /** Each in the one before; stored bytes that are there only in the first. */
  function chainOf(count: number, change: Partial<Block> = {}): Block[] {
    return Array.from({ length: count }, (_, index) => ({
      codec: 'zlib',
      runs: [{ from: index === 0 ? 0 : base.length + (index - 1) * 10, bytes: 10 }],
      content: 10,
      ...change,
    }))
  }
  const chain = (count: number): Buffer =>
    programOf({ ...HEAD, blocks: chainOf(count) }, [FIRST, SECOND, LAST])

  test('three deep are taken, and no more, which take memory and stack', async () => {
    const slot = memoryRegion(Buffer.alloc(image.length))
    await applyProgram({ program: chain(3), base, image, literal: noise(CHUNK, 3) }, slot)
    await refuses(chain(4), /base block that is in 3 others/)
    await refuses(chain(100), /base block that is in 3 others/)
  })

  test('a block is as deep as the deepest that it touches', async () => {
    const [first, second, third] = chainOf(3)
    const end = base.length
    const wide = (from: number, bytes: number): Block => ({
      codec: 'zlib',
      runs: [{ from, bytes }],
      content: 10,
    })
    const blocks = [first, second, third].flatMap((block) => block ?? [])
    const apply = (last: Block) => programOf({ ...HEAD, blocks: [...blocks, last] }, [FIRST, SECOND, LAST])
    await refuses(apply(wide(end - 10, 31)), /in 3 others/)
    await refuses(
      apply({ ...wide(0, 10), runs: [0, end + 29].map((from) => ({ from, bytes: 1 })) }),
      /in 3 others/,
    )
    const slot = memoryRegion(Buffer.alloc(image.length))
    await applyProgram({ program: apply(wide(end - 10, 30)), base, image, literal: noise(CHUNK, 3) }, slot)
    expect(slot.content.equals(image)).toBe(true)
  })

  test('that touch each other a million times are checked at once', async () => {
    const touched = Array.from({ length: 30_000 }, () => chainOf(1)).flat()
    const runs = [{ from: base.length, bytes: touched.length * 10 }]
    const touching: Block[] = Array.from({ length: 30_000 }, () => ({ codec: 'zlib', runs, content: 10 }))
    const start = performance.now()
    expect(checkBlocks({ blocks: [...touched, ...touching] }, base.length).end).toBe(base.length + 600_000)
    expect(performance.now() - start).toBeLessThan(5000)
  })

  test('are counted with all that they are in', () => {
    const outer: Block = { codec: 'xz', runs: [{ from: 0, bytes: 100 }], content: 1000 }
    const inner: Block = { codec: 'zlib', runs: [{ from: base.length + 10, bytes: 300 }], content: 5000 }
    const other: Block = { codec: 'zlib', runs: [{ from: 0, bytes: 50 }], content: 5500 }
    // xz holds what it has made twice.
    expect(checkBlocks({ blocks: [outer] }, base.length).decodeBytes).toBe(2100)
    expect(checkBlocks({ blocks: [outer, inner, other] }, base.length).decodeBytes).toBe(2100 + 5300)
  })
})

describe('packed blocks that are damaged', () => {
  const blocks: Block[] = [{ codec: 'zlib', runs: [{ from: 0, bytes: 100 }], content: 500 }]

  test.each(CODEC_NAMES)(
    'in the base end in BASE_MISMATCH, and the advice to take the full bundle (%s)',
    async (codec) => {
      const rest: Op = { kind: 'zero', bytes: image.length - 500 }
      const head = { ...HEAD, blocks: blocks.map((block) => ({ ...block, codec })) }
      const program = programOf(head, [{ kind: 'copy', bytes: 500, from: base.length }, rest])
      await expect(applyProgram({ program, base, image }, untouchable())).rejects.toMatchObject({
        code: 'BASE_MISMATCH',
        hint: 'take the full bundle',
        cause: expect.any(Error),
      })
    },
  )

  test('in the image, where the slot holds what only the program calls a block, end in BUNDLE_MALFORMED', async () => {
    const slot = memoryRegion(Buffer.from(image))
    slot.content.fill(0xee, 2 * CHUNK)
    const ops: Op[] = [
      ...[pack({ bytes: 500, consumed: 500, stored: CHUNK }), { kind: 'zero', bytes: 500 } as const],
      ...[
        SECOND,
        { kind: 'self', bytes: 400, from: image.length } as const,
        { kind: 'zero', bytes: 600 } as const,
      ],
    ]
    const applied = applyProgram(
      { program: programOf(HEAD, ops), base, image, literal: noise(CHUNK, 3) },
      slot,
    )
    await expect(applied).rejects.toMatchObject({
      code: 'BUNDLE_MALFORMED',
      message: expect.stringMatching(/that is none/),
    })
  })
})

describe('an encoder that fails', () => {
  const broken = (): never => {
    throw new Error('out of memory')
  }
  const feed: Op = { kind: 'feed', bytes: 500, stream: 0, made: 1000, last: true }
  const ops: Op[] = [FIRST, SECOND, { kind: 'open', encoding: 0 }, feed, { kind: 'zero', bytes: 500 }]
  const program = programOf(HEAD, [...ops, { kind: 'take', bytes: 1000, stream: 0 }])

  test.each<[string, Partial<Codecs>]>([
    ['to open', { openEncoder: broken }],
    ['at once', { openEncoder: () => ({ push: broken, close: () => undefined }) }],
    ['later', { openEncoder: () => ({ push: async () => broken(), close: () => undefined }) }],
  ])('%s ends in CODEC_MISMATCH', async (_, change) => {
    const slot = memoryRegion(Buffer.alloc(image.length, 0xee))
    const input = { program, base, image, literal: noise(CHUNK, 3), hostCodecs: { ...codecs, ...change } }
    await expect(applyProgram(input, slot)).rejects.toMatchObject({
      code: 'CODEC_MISMATCH',
      cause: { message: 'out of memory' },
    })
  })
})

describe('a valid program with something changed in it', () => {
  let honest: Honest
  let program: Buffer
  beforeAll(async () => {
    honest = await makeHonest()
    program = programOf(honest.head, honest.ops)
  })

  /** A place that notes what does not belong into it. */
  function guarded(wrong: number[]): Region {
    const slot = memoryRegion(Buffer.alloc(honest.image.length, 0xee))
    return {
      ...slot,
      write: async (from, position) => {
        if (!honest.image.subarray(position, position + from.length).equals(from)) wrong.push(position)
        await slot.write(from, position)
      },
    }
  }

  test('has every kind of operation in it, and makes its image', async () => {
    const kinds = new Set(honest.ops.map(({ kind }) => kind))
    expect(kinds.size).toBe(KIND.unknown)
    const wrong: number[] = []
    const { writtenBytes } = await applyProgram({ ...honest, program }, guarded(wrong))
    expect([writtenBytes, wrong]).toEqual([honest.image.length, []])
  })

  /** More are tried with PINE_MUTATIONS=100000; one again with PINE_MUTATION=17. */
  const { PINE_MUTATION, PINE_MUTATIONS = '3000' } = process.env
  const first = Number(PINE_MUTATION ?? 1)
  const count = PINE_MUTATION === undefined ? Number(PINE_MUTATIONS) : 1

  test('is refused, or fails, or makes the image, and never writes a chunk that is wrong', async () => {
    const ends = new Map<string, number>()
    for (let seed = first; seed < first + count; seed++) {
      const wrong: number[] = []
      const end = await endOf({ ...honest, program: mutate(program, seed) }, guarded(wrong))
      expect(EXPECTED, `PINE_MUTATION=${seed}`).toContain(end)
      expect(wrong, `PINE_MUTATION=${seed}`).toEqual([])
      ends.set(end, (ends.get(end) ?? 0) + 1)
    }
    // Most changes are seen before anything runs.
    if (count > 1000) expect(ends.get('BUNDLE_MALFORMED')).toBeGreaterThan(count / 2)
  })
})

const EXPECTED = ['none', 'BUNDLE_MALFORMED', 'BUNDLE_CORRUPT', 'BASE_MISMATCH', 'CODEC_MISMATCH']

async function endOf(input: Honest & { program: Buffer }, target: Region): Promise<string> {
  try {
    await applyProgram(input, target)
    return 'none'
  } catch (error) {
    return error instanceof PineError ? error.code : `${error}`
  }
}

/** One to three small changes: a byte set, a bit flipped, bytes removed, inserted, or copied from elsewhere. */
function mutate(program: Buffer, seed: number): Buffer {
  const next = numbers(seed)
  let bytes: Buffer = Buffer.from(program)
  for (let count = 1 + next(3); count > 0; count--) {
    const at = next(bytes.length)
    const length = 1 + next(4)
    switch (next(5)) {
      case 0:
        bytes[at] = next(256)
        break
      case 1:
        bytes[at] = (bytes[at] ?? 0) ^ (1 << next(8))
        break
      case 2:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)])
        break
      case 3:
        bytes = Buffer.concat([bytes.subarray(0, at), noise(length, next(1e6)), bytes.subarray(at)])
        break
      default:
        bytes.copyWithin(at, next(bytes.length), next(bytes.length))
    }
  }
  return bytes
}
