import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { bytesOfName, isText, nameOf, showName } from '../../src/core/file-name.ts'

const bytes = fc
  .oneof(
    fc.uint8Array({ maxLength: 20 }),
    fc.string({ unit: 'binary', maxLength: 10 }).map((text) => Buffer.from(text)),
  )
  .map((found) => Buffer.from(found))

describe('a name', () => {
  test('keeps its bytes, whatever they are', () => {
    fc.assert(
      fc.property(bytes, (raw) => {
        expect(bytesOfName(nameOf(raw))).toEqual(raw)
      }),
      { numRuns: 2000 },
    )
  })

  test('that is UTF-8 is that text; one that is not says so', () => {
    expect(nameOf(Buffer.from('ümläute/日本💾'))).toBe('ümläute/日本💾')
    expect(isText(nameOf(Buffer.from('💾')))).toBe(true)
    expect(isText(nameOf(Buffer.from([0x61, 0xff])))).toBe(false)
    // CESU-8: a surrogate in three bytes is no UTF-8, and must not become one.
    expect(bytesOfName(nameOf(Buffer.from([0xed, 0xb2, 0x80]))).toString('hex')).toBe('edb280')
  })
})

describe('a name that is shown', () => {
  test.each([
    ['usr/lib/system-x\\x2dy.slice', 'usr/lib/system-x\\x2dy.slice'],
    ['ümläute/日本', 'ümläute/日本'],
    ['', '""'],
    ['a b', '"a b"'],
    ['a\nb', '"a\\x0ab"'],
    ['\u001b[31mred', '"\\x1b[31mred"'],
    ['say "x"\\', '"say \\"x\\"\\\\"'],
    ['evil\u202etxt', '"evil\\xe2\\x80\\xaetxt"'],
    ['a\u00a0b', '"a\\xc2\\xa0b"'],
    [nameOf(Buffer.from([0x61, 0xff, 0x62])), '"a\\xffb"'],
  ])('%j is %s', (name, shown) => {
    expect(showName(name)).toBe(shown)
  })

  test('is printable, and like that of no other', () => {
    const shown = new Map<string, string>()
    fc.assert(
      fc.property(bytes, (raw) => {
        const text = showName(nameOf(raw))
        expect(text).not.toMatch(/[\p{C}\p{Zl}\p{Zp}]/u)
        const hex = raw.toString('hex')
        expect(shown.get(text) ?? hex).toBe(hex)
        shown.set(text, hex)
      }),
      { numRuns: 2000 },
    )
  })
})
