import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Canonical, decodeCanonical, encodeCanonical } from '../../src/bundle/msgpack.ts'
import { PineError } from '../../src/core/error.ts'
import { codeOf } from '../support/bundles.ts'

function refuses(hex: string, why?: RegExp): void {
  const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex')
  let error: unknown
  try {
    decodeCanonical(bytes)
  } catch (caught) {
    error = caught
  }
  expect(error, hex).toBeInstanceOf(PineError)
  expect(error, hex).toMatchObject({
    code: 'BUNDLE_MALFORMED',
    ...(why && { message: expect.stringMatching(why) }),
  })
}

const key = fc.stringMatching(/^[a-z][A-Za-z0-9]{0,8}$/)
const { value } = fc.letrec<{ value: Canonical }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5 },
    fc.constantFrom(null, true, false),
    fc.maxSafeNat(),
    fc.constantFrom(0, 127, 128, 255, 256, 65535, 65536, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER),
    fc.string({ unit: 'grapheme', maxLength: 300 }),
    fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
    fc.array(tie('value'), { maxLength: 20 }),
    fc.dictionary(key, tie('value'), { maxKeys: 20 }).map((entries) => ({ ...entries })),
  ),
}))

describe('canonical msgpack', () => {
  test('comes back as it was, and is the same bytes again', () => {
    fc.assert(
      fc.property(value, (original) => {
        const bytes = encodeCanonical(original)
        const decoded = decodeCanonical(bytes)
        expect(encodeCanonical(decoded).equals(bytes)).toBe(true)
        expect(decoded).toEqual(original)
      }),
      { numRuns: 500 },
    )
  })

  test('does not depend on the order in which keys were set', () => {
    expect(encodeCanonical({ b: 1, a: { d: 2, c: 3 } })).toEqual(encodeCanonical({ a: { c: 3, d: 2 }, b: 1 }))
  })

  test('refuses keys that are unsorted, twice, or not plain', () => {
    expect(decodeCanonical(Buffer.from('82a16101a16202', 'hex'))).toEqual({ a: 1, b: 2 })
    refuses('82 a162 02 a161 01', /sorted/)
    refuses('82 a161 01 a161 02', /sorted/)
    refuses('81 01 01', /not a string/)
    refuses('81 a9 5f5f70726f746f5f5f 01', /no key/)
    refuses('81 a0 01', /no key/)
    refuses('81 d901 61 01', /canonical form/)
  })

  test('refuses what could be written shorter', () => {
    for (const hex of [
      'cc01',
      'cd0001',
      'cd00ff',
      'ce00000001',
      'ce0000ffff',
      'd300000000ffffffff',
      'd30000000000000000',
    ])
      refuses(hex, /form/)
    for (const hex of ['d90161', 'da000161', 'db0000000161']) refuses(hex, /form/)
    for (const hex of ['c5000101', 'c60000000101', 'dc000101', 'dd0000000101']) refuses(hex, /form/)
    refuses('de0001 a161 01', /form/)
    refuses('df00000001 a161 01', /form/)
  })

  test('refuses types that no manifest has', () => {
    // floats, negative numbers, extensions (records, dates, typed arrays), the unused byte
    for (const hex of ['ca3f800000', 'cb3ff0000000000000', 'ff', 'd0ff', 'd1ffff', 'd2ffffffff'])
      refuses(hex, /type/)
    for (const hex of ['cfffffffffffffffff', 'd40000', 'd47240', 'd6ff00000000', 'c70174 00', 'c1'])
      refuses(hex, /type/)
    refuses('cf0000000100000000', /type/)
    refuses('d30020000000000000', /expected 0 to/)
    refuses('d3ffffffffffffffff', /expected 0 to/)
    refuses('a1ff', /form/)
  })

  test('refuses lengths and depths that would cost memory', () => {
    for (const hex of ['ddffffffff', 'c6ffffffff', 'dbffffffff', 'df00000040', 'a5', 'c405']) refuses(hex)
    refuses('dfffffffff', /limit/)
    refuses(`${'91'.repeat(9)}01`, /deeper/)
    refuses('91'.repeat(100_000), /deeper/)
    expect(decodeCanonical(Buffer.from(`${'91'.repeat(7)}01`, 'hex'))).toBeDefined()
    refuses(`da1001${'61'.repeat(4097)}`, /string has/)
    refuses('', /ends/)
    refuses('0101', /follow/)
  })

  test('arbitrary bytes are refused with an error of ours, or are canonical', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 60 }), async (input) => {
        const bytes = Buffer.from(input)
        const code = await codeOf(() => decodeCanonical(bytes))
        if (code === 'none') expect(encodeCanonical(decodeCanonical(bytes)).equals(bytes)).toBe(true)
        else expect(code).toBe('BUNDLE_MALFORMED')
      }),
      { numRuns: 5000 },
    )
  })

  test('numbers above 32 bits are integers, whatever msgpackr does by itself', () => {
    expect(encodeCanonical(2 ** 32 - 1).toString('hex')).toBe('ceffffffff')
    expect(encodeCanonical(2 ** 32).toString('hex')).toBe('d30000000100000000')
  })

  test('numbers that cannot be exact are a bug of ours', () => {
    for (const number of [-1, 1.5, Number.NaN, 2 ** 53])
      expect(() => encodeCanonical(number)).toThrow('cannot stand')
  })
})
