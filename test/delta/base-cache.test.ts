import fc from 'fast-check'
import { expect, test } from 'vitest'
import { cacheBase } from '../../src/delta/base-cache.ts'
import { noise } from '../support/bundles.ts'
import { memoryRegion } from '../support/memory-region.ts'

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
