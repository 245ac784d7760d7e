import { expect, test } from 'vitest'
import { blake3, digestOf } from '../../src/core/digest.ts'
import { noise } from '../support/bundles.ts'

test('a digest does not depend on how its bytes are fed', () => {
  // Test vector of the BLAKE3 authors for one zero byte.
  expect(digestOf(Buffer.alloc(1))).toBe('2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213')
  const large = noise(600_000)
  expect(blake3(large).toString('hex')).toBe(digestOf(large))
})
