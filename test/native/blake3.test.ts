import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { blake3 as oracle, portableHashing } from '../../src/core/digest.ts'
import { digestRegion } from '../../src/core/digest-region.ts'
import { native, nativeHashing } from '../../src/host/native.ts'
import { openRegion } from '../../src/host/region.ts'

const { blake3, blake3Async, createHasher } = nativeHashing()

// Where blocks, chunks, batches of chunks and subtrees end, as in the official test vectors and beyond.
const EDGES = [64, 1024, 2048, 3072, 4096, 5120, 6144, 7168, 8192, 16_384, 31_744, 102_400, 262_144, 270_336]
const LENGTHS = [0, 1, 2, 3, 7, ...EDGES.flatMap((edge) => [edge - 1, edge, edge + 1])]
// The vectors of every CPU that this one can stand in for.
const LANES = [1, 4, 8, 16]
// The input of the official test vectors: 0, 1 … 250, and again.
const counting = Buffer.from(Array.from({ length: 300_000 }, (_, index) => index % 251))

/** Random bytes, the same on every run. */
function noise(bytes: number, seed: number): Buffer {
  if (bytes === 0) return Buffer.alloc(0)
  return createHash('shake256', { outputLength: bytes }).update(`${seed}`).digest()
}

/** Small numbers as often as large ones; the same on every run. */
function lengthSource(seed: number): (most: number) => number {
  const random = noise(8 * 5000, seed)
  let at = 0
  return (most) => {
    const [bits, value] = [random.readUInt32LE(at), random.readUInt32LE(at + 4)]
    at = (at + 8) % random.length
    return value % (Math.min(most, 2 ** (bits % 20)) + 1)
  }
}

describe('blake3', () => {
  test('gives the digests of the official test vectors', () => {
    const digest = (bytes: number) => blake3(counting.subarray(0, bytes)).toString('hex')
    expect(digest(0)).toBe('af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262')
    expect(digest(1)).toBe('2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213')
    expect(digest(1024)).toBe('42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7')
  })

  test.each(LANES)('equals the package for every length where something ends, with %i lanes', (lanes) => {
    for (const bytes of LENGTHS) {
      const input = counting.subarray(0, bytes)
      expect(native().blake3Lanes(input, lanes).equals(oracle(input)), `${bytes} bytes`).toBe(true)
    }
  })

  test('equals the package for random content, length and alignment', () => {
    const content = noise(700_000, 1)
    const next = lengthSource(2)
    for (let round = 0; round < 6000; round++) {
      const start = next(64)
      const input = content.subarray(start, start + next(500_000))
      const lanes = LANES[round % LANES.length] ?? 1
      expect(native().blake3Lanes(input, lanes).equals(oracle(input)), `${input.length} bytes`).toBe(true)
    }
  })

  test('on threads gives what it gives here, many at once', async () => {
    const inputs = LENGTHS.map((bytes) => noise(bytes, bytes + 1))
    const digests = await Promise.all(inputs.map((input) => blake3Async(input)))
    for (const [index, input] of inputs.entries()) expect(digests[index]?.equals(blake3(input))).toBe(true)
  })

  test('refuses what is no Uint8Array', async () => {
    const core = native() as unknown as Record<string, (...args: unknown[]) => unknown>
    for (const name of ['blake3', 'blake3Async', 'blake3Lanes']) {
      expect(() => core[name]?.('text', 1)).toThrow(TypeError)
      expect(() => core[name]?.()).toThrow(TypeError)
    }
  })
})

describe('a hasher', () => {
  test('does not mind how its input is cut', () => {
    const content = noise(600_000, 3)
    const next = lengthSource(4)
    for (let round = 0; round < 3000; round++) {
      const input = content.subarray(0, next(content.length))
      const hasher = createHasher()
      for (let at = 0; at < input.length; ) {
        const piece = input.subarray(at, at + next(300_000))
        hasher.update(piece)
        at += piece.length
      }
      expect(hasher.hex(), `${input.length} bytes`).toBe(oracle(input).toString('hex'))
    }
  })

  test('that was asked may go on', () => {
    const handle = native().createHasher()
    for (const at of [0, 1000, 2000, 3000, 4000]) {
      native().hasherUpdate(handle, counting.subarray(at, at + 1000))
      expect(
        native()
          .hasherDigest(handle)
          .equals(oracle(counting.subarray(0, at + 1000))),
      ).toBe(true)
    }
  })

  test('is never mistaken for something else', () => {
    const core = native() as unknown as Record<string, (...args: unknown[]) => unknown>
    for (const other of [{}, [], 7, undefined, Buffer.alloc(2000), 'hasher']) {
      expect(() => core.hasherUpdate?.(other, Buffer.alloc(1))).toThrow(TypeError)
      expect(() => core.hasherDigest?.(other)).toThrow(TypeError)
    }
    expect(() => core.hasherUpdate?.(native().createHasher(), 'text')).toThrow(TypeError)
  })

  test('keeps its memory when many are made', async () => {
    const before = process.memoryUsage.rss()
    for (let round = 0; round < 50; round++) {
      for (let i = 0; i < 2000; i++) native().createHasher()
      // Node frees what wraps memory of ours between two turns.
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(process.memoryUsage.rss() - before).toBeLessThan(100e6)
  })
})

describe('a region', () => {
  const folder = mkdtempSync(join(tmpdir(), 'pine-blake3-'))
  afterAll(() => rmSync(folder, { recursive: true }))

  test.each([0, 1, 1_048_576, 1_048_577, 5_000_000])(
    'of %i bytes has the digest of its bytes',
    async (bytes) => {
      const path = join(folder, 'image')
      const content = noise(bytes, 5)
      writeFileSync(path, content)
      const region = await openRegion(path)
      for (const hashing of [nativeHashing(), portableHashing]) {
        const seen: number[] = []
        const onProgress = (done: number) => void seen.push(done)
        expect(await digestRegion(region, { hashing, onProgress })).toBe(oracle(content).toString('hex'))
        expect(seen.at(-1) ?? 0).toBe(bytes)
      }
      const half = Math.floor(bytes / 2)
      const digest = await digestRegion(region, { hashing: nativeHashing(), bytes: half })
      expect(digest).toBe(oracle(content.subarray(0, half)).toString('hex'))
      await region.close()
    },
  )
})
