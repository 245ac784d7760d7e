import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { compareVersions, isVersion } from '../../src/core/version.ts'

const version = fc
  .tuple(
    fc.array(fc.nat(20).map(String), { minLength: 1, maxLength: 3 }),
    fc.option(fc.stringMatching(/^[0-9ab.]{1,4}$/)),
    fc.option(fc.stringMatching(/^[0-9ab.]{1,4}$/)),
  )
  .map(([numbers, preview, rebuild]) => {
    return numbers.join('.') + (preview ? `-${preview}` : '') + (rebuild ? `+${rebuild}` : '')
  })

describe('versions', () => {
  test('sort as people read them', () => {
    const sorted = [
      ...['0.9', '1.0-alpha', '1.0-rc1', '1.0-rc2', '1.0-rc10', '1.0', '1.0+1', '1.0+2', '1.0+10'],
      ...['1.0.1-rc1', '1.0.1', '1.2', '1.10', '2', '2026.11.9', '2026.11.22', '2026.11.22+1'],
    ]
    expect([...sorted].reverse().sort(compareVersions)).toEqual(sorted)
  })

  test('of any length compare exactly', () => {
    expect(compareVersions('1.90071992547409930001', '1.90071992547409930002')).toBeLessThan(0)
    expect(compareVersions('1.010', '1.10')).toBe(0)
    expect(compareVersions('1', '1.0.0')).toBe(0)
  })

  test('are told from other text', () => {
    for (const text of ['1', '1.2.3', '1-rc1', '1+2', '1.0-a.b+c.d']) expect(isVersion(text)).toBe(true)
    for (const text of ['', 'v1', '1.', '.1', '1..2', '1-', '1+', '1 ', '1-a-b', '1\n', '1'.repeat(65)]) {
      expect(isVersion(text)).toBe(false)
    }
  })

  test('have one order', () => {
    fc.assert(
      fc.property(version, version, version, (x, y, z) => {
        expect(Math.sign(compareVersions(x, y))).toBe(-Math.sign(compareVersions(y, x)) + 0)
        expect(compareVersions(x, x)).toBe(0)
        if (compareVersions(x, y) <= 0 && compareVersions(y, z) <= 0) {
          expect(compareVersions(x, z)).toBeLessThanOrEqual(0)
        }
      }),
      { numRuns: 5000 },
    )
  })
})
