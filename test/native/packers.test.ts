import { describe, expect, test } from 'vitest'
import { streamCodec } from '../../src/host/codecs.ts'
import { native } from '../../src/host/native.ts'
import { numbers, pieces, systemBytes } from './content.ts'

const MIB = 1024 * 1024
const streams = streamCodec()
const content = systemBytes(1_300_000)

describe.each([
  ['zstd', 9],
  ['zstd', 19],
  ['lzma2', 0],
  ['lzma2', 6],
  ['lzma2', 9],
] as const)('packed with %s, level %i', (kind, level) => {
  // Smaller than the input: what is behind it is forgotten.
  const window = 256 * 1024

  async function packed(most: number): Promise<{ piece: Buffer; packed: Buffer }[]> {
    const packer = streams.openPacker(kind, level, window)
    const all: { piece: Buffer; packed: Buffer }[] = []
    for (const { piece } of pieces(content, most)) all.push({ piece, packed: await packer.push(piece) })
    packer.close()
    return all
  }

  test('each piece is unpacked with those before it', async () => {
    for (const most of [20_000, 700_000]) {
      const unpacker = streams.openUnpacker(kind, window)
      for (const { piece, packed: bytes } of await packed(most)) {
        const into = Buffer.alloc(piece.length)
        unpacker.unpack(bytes, into)
        expect(into.equals(piece)).toBe(true)
      }
      unpacker.close()
      expect(() => unpacker.unpack(Buffer.alloc(1), Buffer.alloc(1))).toThrow('closed')
    }
  })

  test('pieces of nothing are nothing', async () => {
    const packer = streams.openPacker(kind, level, window)
    const unpacker = streams.openUnpacker(kind, window)
    for (const text of ['', '', 'pine', '', 'pine', '']) {
      const into = Buffer.alloc(text.length)
      unpacker.unpack(await packer.push(Buffer.from(text)), into)
      expect(into.toString()).toBe(text)
    }
  })

  test('a length that differs by one throws, and spoils the stream', async () => {
    const tail = Buffer.alloc(5000, 'a copy reaches to the end ')
    for (const [difference, piece] of [-1, 1, -200].flatMap(
      (by) =>
        [
          [by, tail],
          [by, content.subarray(0, 5000)],
        ] as const,
    )) {
      const packer = streams.openPacker(kind, level, window)
      const unpacker = streams.openUnpacker(kind, window)
      const bytes = await packer.push(piece)
      expect(() => unpacker.unpack(bytes, Buffer.alloc(piece.length + difference))).toThrow('not exactly')
      expect(() => unpacker.unpack(bytes, Buffer.alloc(piece.length))).toThrow('spoiled')
      packer.close()
      unpacker.close()
    }
  })

  test('two pieces in one, half a piece, or an earlier piece throw', async () => {
    const [first, second] = await packed(400_000)
    if (first === undefined || second === undefined) throw new Error('two pieces are needed')
    const both = Buffer.concat([first.packed, second.packed])
    const open = () => streams.openUnpacker(kind, window)
    expect(() => open().unpack(both, Buffer.alloc(first.piece.length))).toThrow('not exactly')
    expect(() => open().unpack(first.packed.subarray(0, -1), Buffer.alloc(first.piece.length))).toThrow(
      'not exactly',
    )
    expect(() => open().unpack(second.packed, Buffer.alloc(second.piece.length))).toThrow()
    expect(() => open().unpack(Buffer.alloc(0), Buffer.alloc(1))).toThrow()
  })

  test('what is damaged never leaves its buffer', async () => {
    const next = numbers(3)
    const [first] = await packed(20_000)
    if (first === undefined) throw new Error('a piece is needed')
    for (let round = 0; round < 300; round++) {
      const damaged = Buffer.from(first.packed)
      for (let hits = 1 + next(5); hits > 0; hits--) damaged[next(damaged.length)] = next(256)
      const memory = Buffer.alloc(first.piece.length + 8192, 0xa5)
      const unpacker = streams.openUnpacker(kind, window)
      try {
        unpacker.unpack(new Uint8Array(damaged), memory.subarray(4096, -4096))
      } catch (error) {
        expect(error).toBeInstanceOf(Error)
      }
      unpacker.close()
      const fences = [memory.subarray(0, 4096), memory.subarray(-4096)]
      expect(fences.every((fence) => fence.every((byte) => byte === 0xa5))).toBe(true)
    }
  })
})

describe('packing', () => {
  test('the bits that LZMA looks at can be set', async () => {
    const numbersOnly = Buffer.from(Uint32Array.from({ length: 50_000 }, (_, i) => i * i).buffer)
    const lengths = new Set<number>()
    for (const model of [{}, { lc: 0, lp: 2, pb: 2 }, { lc: 3, lp: 0, pb: 0 }]) {
      const packer = streams.openPacker('lzma2', 6, MIB, model)
      const bytes = await packer.push(numbersOnly)
      const into = Buffer.alloc(numbersOnly.length)
      streams.openUnpacker('lzma2', MIB).unpack(bytes, into)
      expect(into.equals(numbersOnly)).toBe(true)
      lengths.add(bytes.length)
    }
    expect(lengths.size).toBe(3)
    expect(() => streams.openPacker('lzma2', 6, MIB, { lc: 4, lp: 4 })).toThrow()
  })

  test('levels and windows out of range throw', () => {
    expect(() => streams.openPacker('lzma2', 10, MIB)).toThrow()
    expect(() => streams.openPacker('lzma2', -1, MIB)).toThrow()
    expect(() => streams.openPacker('zstd', 0, MIB)).toThrow()
    expect(() => streams.openPacker('zstd', 23, MIB)).toThrow()
    expect(() => streams.openPacker('zstd', 3, 17 * MIB)).toThrow('window')
    expect(() => streams.openUnpacker('lzma2', 17 * MIB)).toThrow('window')
    expect(() => streams.openUnpacker('zstd', 0)).toThrow('window')
    expect(() => native().openPacker(2, 3, MIB, -1, -1, -1)).toThrow('unknown')
    expect(() => native().openUnpacker(-1, MIB)).toThrow('unknown')
  })

  test('a zstd frame with a larger window than was opened for is refused', async () => {
    const packer = streams.openPacker('zstd', 9, 8 * MIB)
    const bytes = await packer.push(content.subarray(0, MIB))
    expect(() => streams.openUnpacker('zstd', MIB).unpack(bytes, Buffer.alloc(MIB))).toThrow('memory')
  })

  test('adding is modulo 256, and only of equal lengths', () => {
    const [left, right] = [systemBytes(10_001, 2), systemBytes(10_001, 3)]
    const sum = Buffer.from(left)
    streams.add(sum, right)
    expect(sum.every((byte, i) => byte === (((left[i] ?? 0) + (right[i] ?? 0)) & 255))).toBe(true)
    expect(() => streams.add(sum, right.subarray(1))).toThrow('not of one length')
  })
})
