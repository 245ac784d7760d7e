import { inflateRawSync, inflateSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { CODEC_NAMES, type Encoding } from '../../src/core/encoding.ts'
import { blockCodecs } from '../../src/host/codecs.ts'
import { native } from '../../src/host/native.ts'
import { numbers, piped, systemBytes } from './content.ts'

const KIB = 1024
const codecs = blockCodecs()
const content = systemBytes(200_000)

const ENCODINGS: readonly Encoding[] = [
  { codec: 'zstd', params: [15, 0] },
  { codec: 'zstd', params: [1, 1] },
  { codec: 'zstd', params: [9, 2] },
  { codec: 'zstd', params: [19, 3] },
  { codec: 'zlib', params: [9, 15, 0] },
  { codec: 'zlib', params: [1, 9, 3] },
  { codec: 'deflate', params: [9, 15, 9, 0] },
  { codec: 'deflate', params: [6, 10, 1, 2] },
  { codec: 'xz', params: [6, 128 * KIB, 1, 0] },
  { codec: 'xz', params: [64 + 3, 4 * KIB, 0, 0] },
  { codec: 'xz', params: [256 + 6, 1024 * KIB, 4, 1] },
  { codec: 'xz', params: [1, 64 * KIB, 10, 7] },
  { codec: 'lz4', params: [] },
  { codec: 'lz4hc', params: [9] },
  { codec: 'lz4hc', params: [12] },
  { codec: 'zstd-mt', params: [3, 1] },
  { codec: 'zstd-mt', params: [9, 3] },
  { codec: 'gzip', params: [9] },
]

const FILLS: readonly Encoding[] = [
  { codec: 'lz4hc-fill', params: [9, 4 * KIB, 0] },
  { codec: 'lz4hc-fill', params: [12, 64 * KIB, 0] },
  { codec: 'lz4hc-fill', params: [12, 4 * KIB, 1] },
]

const titleOf = ({ codec, params }: Encoding) => `${codec} ${params.join(' ')}`
const encode = async (encoding: Encoding, bytes: Uint8Array) => (await codecs.encode(encoding, bytes)).stored

function decode({ codec }: Encoding, stored: Uint8Array, bytes: number): Buffer {
  const into = Buffer.alloc(bytes)
  codecs.decode(codec, stored, into)
  return into
}

describe.each(ENCODINGS.map((encoding) => [titleOf(encoding), encoding] as const))('%s', (_, encoding) => {
  test('gives back content of every length', async () => {
    for (const bytes of [0, 1, 2, 100, 4096, 131_072, content.length]) {
      const { stored, consumed } = await codecs.encode(encoding, content.subarray(0, bytes))
      expect(consumed).toBe(bytes)
      expect(decode(encoding, stored, bytes).equals(content.subarray(0, bytes))).toBe(true)
    }
  })

  test('makes the same of the same, several at once', async () => {
    const all = await Promise.all(Array.from({ length: 4 }, () => encode(encoding, content)))
    for (const stored of all) expect(stored.equals(all[0] ?? Buffer.alloc(0))).toBe(true)
  })

  test('throws when the length is another, or bytes are missing or too many', async () => {
    const stored = await encode(encoding, content)
    expect(() => decode(encoding, stored, content.length - 1)).toThrow()
    expect(() => decode(encoding, stored, content.length + 1)).toThrow()
    expect(() => decode(encoding, Buffer.concat([stored, Buffer.alloc(1)]), content.length)).toThrow()
    for (const kept of [0, 1, 4, 17, stored.length >> 1, stored.length - 1]) {
      expect(() => decode(encoding, stored.subarray(0, kept), content.length)).toThrow()
    }
  })

  test('tells the length where it is not known', async () => {
    const stored = await encode(encoding, content)
    const into = Buffer.alloc(content.length + 1000)
    expect(codecs.decodeUpTo(encoding.codec, stored, into)).toBe(content.length)
    expect(into.subarray(0, content.length).equals(content)).toBe(true)
    expect(() => codecs.decodeUpTo(encoding.codec, stored, into.subarray(0, -1001))).toThrow()
  })
})

describe.each(FILLS.map((encoding) => [titleOf(encoding), encoding] as const))('%s', (_, encoding) => {
  const [, capacity = 0, zerosBehind] = encoding.params

  test('fills its room with as much content as fits', async () => {
    for (const start of [0, 50_000, 120_000]) {
      const { stored, consumed } = await codecs.encode(encoding, content.subarray(start))
      expect(stored.length).toBe(capacity)
      expect(decode(encoding, stored, consumed).equals(content.subarray(start, start + consumed))).toBe(true)
      expect(decode(encoding, stored, 10).equals(content.subarray(start, start + 10))).toBe(true)
    }
  })

  test('puts zeros where they belong', async () => {
    const { stored, consumed } = await codecs.encode(encoding, Buffer.from('pine pine pine pine pine'))
    expect(consumed).toBe(24)
    expect(zerosBehind === 1 ? stored.at(-1) : stored[0]).toBe(0)
    expect(zerosBehind === 1 ? stored[0] : stored.at(-1)).not.toBe(0)
    expect(decode(encoding, stored, 24).toString()).toBe('pine pine pine pine pine')
  })
})

test('lz4hc-fill throws when less is there than is wanted', async () => {
  const { stored, consumed } = await codecs.encode({ codec: 'lz4hc-fill', params: [9, 4096, 0] }, content)
  expect(() => codecs.decode('lz4hc-fill', stored, Buffer.alloc(consumed + 1))).toThrow()
  expect(() => codecs.decode('lz4hc-fill', Buffer.alloc(4096), Buffer.alloc(1))).toThrow()
  expect(() => codecs.decode('lz4hc-fill', Buffer.alloc(0), Buffer.alloc(1))).toThrow()
})

describe('foreign bytes', () => {
  const fence = 4096

  function decodeFenced(codec: Encoding['codec'], stored: Buffer, bytes: number): void {
    const memory = Buffer.alloc(bytes + 2 * fence, 0xa5)
    // A copy of exactly that length, so that reading past it meets other bytes.
    const exact = new Uint8Array(stored)
    try {
      codecs.decode(codec, exact, memory.subarray(fence, fence + bytes))
    } catch (error) {
      expect(error).toBeInstanceOf(Error)
    }
    expect(memory.subarray(0, fence).every((byte) => byte === 0xa5)).toBe(true)
    expect(memory.subarray(fence + bytes).every((byte) => byte === 0xa5)).toBe(true)
  }

  test.each([...ENCODINGS, ...FILLS].map((encoding) => [titleOf(encoding), encoding] as const))(
    '%s: what is damaged never leaves its buffer',
    async (_, encoding) => {
      const next = numbers(7)
      const whole = content.subarray(0, 20_000)
      const { stored, consumed } = await codecs.encode(encoding, whole)
      for (let round = 0; round < 300; round++) {
        const damaged = Buffer.from(stored.subarray(0, round % 3 === 0 ? next(stored.length) : stored.length))
        for (let hits = 1 + next(8); hits > 0 && damaged.length > 0; hits--) {
          damaged[next(damaged.length)] = next(256)
        }
        decodeFenced(encoding.codec, damaged, round % 5 === 0 ? next(2 * consumed) : consumed)
      }
    },
  )

  test.each(CODEC_NAMES)('%s: noise never leaves its buffer', (codec) => {
    const next = numbers(9)
    for (let round = 0; round < 200; round++) {
      const noise = Buffer.from(Array.from({ length: next(500) }, () => next(256)))
      decodeFenced(codec, noise, next(5000))
    }
  })

  test('zstd takes one frame of the current format and nothing else', async () => {
    const frame = await encode({ codec: 'zstd', params: [3, 0] }, Buffer.from('pine'))
    expect(() => decode({ codec: 'zstd', params: [] }, Buffer.concat([frame, frame]), 8)).toThrow(
      'exactly one',
    )
    // The magic of format 0.7, which Debian's library still reads.
    const old = Buffer.from('27b52ffd00000000', 'hex')
    expect(() => decode({ codec: 'zstd', params: [] }, old, 4)).toThrow('not a zstd frame')
  })

  test('xz with a dictionary that needs much memory is refused', async () => {
    const stored = await encode({ codec: 'xz', params: [0, 64 * KIB * KIB, 1, 0] }, Buffer.from('pine'))
    expect(decode({ codec: 'xz', params: [] }, stored, 4).toString()).toBe('pine')
    // 1 GiB; the checksum of the header follows from it.
    const large = piped('xz', ['--lzma2=preset=0,dict=1GiB', '-c'], Buffer.from('pine'))
    if (large !== undefined) {
      expect(() => decode({ codec: 'xz', params: [] }, large, 4)).toThrow('too large')
    }
  })

  test('zlib that asks for a preset dictionary is refused', () => {
    expect(() => decode({ codec: 'zlib', params: [] }, Buffer.from('78bb00000001', 'hex'), 4)).toThrow(
      'not valid',
    )
  })
})

describe('params', () => {
  test.each<[string, Encoding]>([
    ['level', { codec: 'zstd', params: [23, 0] }],
    ['level', { codec: 'zstd', params: [0, 0] }],
    ['flags', { codec: 'zstd-mt', params: [3, 4] }],
    ['missing', { codec: 'zstd', params: [3] }],
    ['too many', { codec: 'lz4', params: [1] }],
    ['many too many', { codec: 'lz4', params: Array.from({ length: 1000 }, () => 1) }],
    ['window', { codec: 'zlib', params: [9, 31, 0] }],
    ['memory', { codec: 'deflate', params: [9, 15, 10, 0] }],
    ['strategy', { codec: 'deflate', params: [9, 15, 9, 5] }],
    ['dictionary', { codec: 'xz', params: [6, 65 * KIB * KIB, 1, 0] }],
    ['small dictionary', { codec: 'xz', params: [6, 100, 1, 0] }],
    ['preset', { codec: 'xz', params: [10, 4096, 1, 0] }],
    ['preset bits', { codec: 'xz', params: [128, 4096, 1, 0] }],
    ['check', { codec: 'xz', params: [6, 4096, 2, 0] }],
    ['filter', { codec: 'xz', params: [6, 4096, 1, 8] }],
    ['capacity', { codec: 'lz4hc-fill', params: [9, KIB * KIB + 1, 0] }],
    ['padding', { codec: 'lz4hc-fill', params: [9, 4096, 2] }],
    ['not a number', { codec: 'lz4hc', params: [Number.NaN] }],
    ['not whole', { codec: 'lz4hc', params: [1.5] }],
    ['wrapped', { codec: 'lz4hc', params: [2 ** 32 + 1] }],
    ['gzip', { codec: 'gzip', params: [0] }],
  ])('%s out of range rejects', async (_, encoding) => {
    await expect(codecs.encode(encoding, content)).rejects.toThrow()
  })

  test('what is no array, number or Uint8Array is refused', () => {
    const { encodeSync, decode: raw } = native() as unknown as Record<string, (...args: unknown[]) => unknown>
    expect(() => encodeSync?.(0, 'text', content)).toThrow(TypeError)
    expect(() => encodeSync?.(0, ['1', 0], content)).toThrow(TypeError)
    expect(() => encodeSync?.(0, [1, 0], 'text')).toThrow(TypeError)
    expect(() => encodeSync?.(99, [], content)).toThrow('unknown codec')
    expect(() => encodeSync?.(-1, [], content)).toThrow('unknown codec')
    expect(() => raw?.(99, content, Buffer.alloc(1))).toThrow('unknown codec')
  })
})

describe('other programs make and read the same', () => {
  test('zlib and deflate are read by Node', async () => {
    for (const encoding of ENCODINGS) {
      const inflate = encoding.codec === 'zlib' ? inflateSync : inflateRawSync
      if (!['zlib', 'deflate', 'gzip'].includes(encoding.codec)) continue
      expect(inflate(await encode(encoding, content)).equals(content)).toBe(true)
    }
  })

  test.each<[string[], readonly number[]]>([
    [
      ['-6', '-C', 'crc32'],
      [256 + 6, 8192 * KIB, 1, 0],
    ],
    [['-9e'], [256 + 64 + 9, 65_536 * KIB, 4, 0]],
    [
      ['-C', 'crc32', '--x86', '--lzma2=dict=1MiB'],
      [256 + 6, 1024 * KIB, 1, 1],
    ],
    [
      ['-C', 'sha256', '--arm64', '--lzma2=preset=2,dict=256KiB'],
      [256 + 2, 256 * KIB, 10, 7],
    ],
    [
      ['-0', '-C', 'none'],
      [256, 256 * KIB, 0, 0],
    ],
  ])('xz %j', async (args, params) => {
    const theirs = piped('xz', ['-T1', '-c', ...args], content)
    if (theirs === undefined) return
    expect((await encode({ codec: 'xz', params }, content)).equals(theirs)).toBe(true)
  })

  test.each<[string, Encoding]>([
    ['-1', { codec: 'lz4', params: [] }],
    ['-9', { codec: 'lz4hc', params: [9] }],
    ['-12', { codec: 'lz4hc', params: [12] }],
  ])('lz4 -l %s', async (level, encoding) => {
    const theirs = piped('lz4', ['-l', level, '-c'], content)
    if (theirs === undefined) return
    // Four bytes of magic, four with the length of the only block.
    expect((await encode(encoding, content)).equals(theirs.subarray(8))).toBe(true)
  })

  test('gzip -9', async () => {
    const theirs = piped('gzip', ['-9', '-n', '-c'], content)
    if (theirs === undefined) return
    expect((await encode({ codec: 'gzip', params: [9] }, content)).equals(theirs.subarray(10, -8))).toBe(true)
  })

  test('zstd of one thread, from a pipe', async () => {
    const theirs = piped('zstd', ['-q', '-9', '--single-thread', '-c'], content)
    if (theirs === undefined) return
    expect((await encode({ codec: 'zstd', params: [9, 3] }, content)).equals(theirs)).toBe(true)
  })
})

test('fingerprints name the version and what comes out, and stay', () => {
  const first = Object.fromEntries(CODEC_NAMES.map((codec) => [codec, codecs.fingerprint(codec)]))
  const again = blockCodecs()
  expect(Object.fromEntries(CODEC_NAMES.map((codec) => [codec, again.fingerprint(codec)]))).toEqual(first)
  for (const fingerprint of Object.values(first)) expect(fingerprint).toMatch(/^[\d.]+-[0-9a-f]{8}$/)
  expect(new Set(Object.values(first)).size).toBe(CODEC_NAMES.length)
})

test('memory does not grow with use', async () => {
  const round = async () => {
    for (const encoding of ENCODINGS) {
      if (encoding.codec === 'xz' || encoding.codec.startsWith('zstd')) {
        decode(encoding, await encode(encoding, content.subarray(0, 100_000)), 100_000)
        expect(() => decode(encoding, content.subarray(0, 100), 1000)).toThrow()
      }
    }
  }
  for (let i = 0; i < 3; i++) await round()
  const before = process.memoryUsage.rss()
  for (let i = 0; i < 10; i++) await round()
  expect(process.memoryUsage.rss() - before).toBeLessThan(60e6)
})
