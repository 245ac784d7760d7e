import fc from 'fast-check'
import { expect, test } from 'vitest'
import { cacheBase } from '../../src/delta/base-cache.ts'
import { createRollingHash } from '../../src/delta/rolling.ts'
import { applyBytes, makeBundle, noise } from '../support/bundles.ts'
import { memoryRegion } from '../support/memory-region.ts'

test('a rolling hash says the same however it got there', () => {
  const hash = createRollingHash(64)
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 65, maxLength: 300 }), (bytes) => {
      let value = hash.of(bytes, 0)
      for (let at = 0; at + 64 < bytes.length; at++) {
        value = hash.slide(value, bytes, at)
        expect(value).toBe(hash.of(bytes, at + 1))
      }
    }),
  )
})

/** Two different starts of a block, of three bytes, that hash the same. */
function collision(): [Buffer, Buffer] {
  const hash = createRollingHash(3)
  const seen = new Map<number, number>()
  for (let number = 0; number < 2 ** 24; number++) {
    const bytes = Buffer.from([number >>> 16, (number >>> 8) & 255, number & 255])
    const value = hash.of(bytes, 0)
    const other = seen.get(value)
    if (other !== undefined && other >>> 16 !== number >>> 16) {
      return [Buffer.from([other >>> 16, (other >>> 8) & 255, other & 255]), bytes]
    }
    seen.set(value, number)
  }
  throw new Error('no collision in 2^24 numbers')
}

test('blocks that only hash the same are not taken for each other', async () => {
  const [ours, theirs] = collision()
  const rest = noise(2045, 5)
  const base = Buffer.concat([noise(4096, 1), theirs, rest, noise(4096, 2)])
  const target = Buffer.concat([noise(5000, 3), ours, rest, noise(3000, 4)])
  const hash = createRollingHash(2048)
  expect(hash.of(base, 4096)).toBe(hash.of(target, 5000))
  const { bytes } = await makeBundle({ base, target, chunkBytes: 65536 })
  const slot = memoryRegion(Buffer.alloc(target.length))
  await applyBytes({ bytes, base, target: slot })
  expect(slot.content.equals(target)).toBe(true)
})

test('a cached base reads like the base, and refuses what is outside', async () => {
  const content = noise(300_000)
  const cache = cacheBase(memoryRegion(content), 250_000, 2)
  await fc.assert(
    fc.asyncProperty(fc.nat(249_999), fc.nat(140_000), async (offset, length) => {
      const into = Buffer.alloc(Math.min(length, 250_000 - offset))
      await cache.read(into, offset)
      expect(into.equals(content.subarray(offset, offset + into.length))).toBe(true)
    }),
  )
  for (const offset of [-1, 250_000, 2 ** 40]) expect(() => cache.view(offset)).toThrow(RangeError)
})
