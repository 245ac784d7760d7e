import { expect, test } from 'vitest'
import { rangeMax } from '../../src/delta/range-max.ts'
import { numbers } from '../native/content.ts'

test('the largest of every range, in rows of every length, while they are filled', () => {
  const next = numbers(3)
  for (let count = 1; count < 40; count++) {
    const row = rangeMax(count)
    const plain = Array.from({ length: count }, () => 0)
    for (let index = 0; index < count; index++) {
      plain[index] = next(100)
      row.set(index, plain[index] ?? 0)
      const first = next(index + 1)
      expect(row.between(first, index)).toBe(Math.max(...plain.slice(first, index + 1)))
    }
    expect(row.between(0, count - 1)).toBe(Math.max(...plain))
  }
  expect(rangeMax(0).between(0, -1)).toBe(0)
})
