import fc from 'fast-check'
import { expect, test } from 'vitest'
import { readVarints, unzigzag, writeVarint, zigzag } from '../../src/delta/varint.ts'

function numbers(...list: number[]): Buffer {
  const bytes: number[] = []
  for (const number of list) writeVarint(bytes, number)
  return Buffer.from(bytes)
}

test('numbers come back as they were', () => {
  fc.assert(
    fc.property(fc.array(fc.maxSafeNat()), (list) => {
      const bytes = numbers(...list)
      const reader = readVarints(bytes, 0, bytes.length)
      expect(list.map(() => reader.next())).toEqual(list)
      expect(reader.position()).toBe(bytes.length)
    }),
  )
  fc.assert(
    fc.property(fc.integer({ min: -(2 ** 51), max: 2 ** 51 }), (number) => {
      expect(unzigzag(zigzag(number))).toBe(number)
    }),
  )
})

test('numbers that are padded, too large or cut are refused', () => {
  for (const hex of ['8000', 'ff8000', '80', 'ffffffffffffffff7f', 'ffffffffffffffffffff', '']) {
    const bytes = Buffer.from(hex, 'hex')
    expect(() => readVarints(bytes, 0, bytes.length).next(), hex).toThrow(
      expect.objectContaining({ code: 'BUNDLE_MALFORMED' }),
    )
  }
})
