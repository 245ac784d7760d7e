import { describe, expect, test } from 'vitest'
import { decodeLog, encodeLogLine, LOG_LINE_BYTES } from '../../src/boot/event-log.ts'
import { decodeMeta, encodeMeta } from '../../src/boot/meta.ts'

describe('meta', () => {
  const value = { compatible: 'web', slots: [1, null, 'ü'] }

  test('decodes to what was encoded', () => {
    expect(encodeMeta(7, value).length).toBe(65536)
    expect(decodeMeta(encodeMeta(7, value))).toEqual({ sequence: 7, value })
  })

  test('a copy with any byte of it flipped is no copy', () => {
    const copy = encodeMeta(7, value)
    for (let at = 0; at < copy.indexOf(0); at++) {
      const flipped = Buffer.from(copy)
      flipped[at] = (flipped[at] ?? 0) ^ 1
      expect(decodeMeta(flipped), `byte ${at}`).toBe(undefined)
    }
  })

  test.each([0, 50, 100, 110, 4096])('a copy torn at %d is no copy', (at) => {
    const older = encodeMeta(5, { text: 'o'.repeat(8000) })
    const newer = encodeMeta(7, { text: 'n'.repeat(8000) })
    expect(decodeMeta(Buffer.concat([newer.subarray(0, at), older.subarray(at)]))?.sequence).toBe(
      at === 0 ? 5 : undefined,
    )
  })

  test('never written, cut short, of another version', () => {
    expect(decodeMeta(Buffer.alloc(65536))).toBe(undefined)
    expect(decodeMeta(encodeMeta(1, value).subarray(0, 120))).toBe(undefined)
    expect(decodeMeta(Buffer.from(encodeMeta(1, value).toString('latin1').replace('meta 1', 'meta 2')))).toBe(
      undefined,
    )
  })

  test('more than fits is refused, not cut', () => {
    expect(() => encodeMeta(1, 'x'.repeat(65536))).toThrow('more than')
  })
})

describe('log', () => {
  const line = (sequence: number) =>
    encodeLogLine({ sequence, event: { event: 'step', step: `write ${sequence}` } })
  const logOf = (...lines: Buffer[]) => Buffer.concat([...lines, Buffer.alloc(262144)]).subarray(0, 262144)

  test('lines come back oldest first, whatever their place', () => {
    const lines = decodeLog(logOf(line(258), line(257), line(256)))
    expect(lines.map(({ sequence }) => sequence)).toEqual([256, 257, 258])
    expect(lines[0]?.event).toEqual({ event: 'step', step: 'write 256' })
  })

  test('a torn line is left out, the others stay', () => {
    const torn = Buffer.concat([line(2).subarray(0, 40), line(9).subarray(40)])
    expect(decodeLog(logOf(line(1), torn, line(3))).map(({ sequence }) => sequence)).toEqual([1, 3])
  })

  test.each([
    ['ascii', 'x'.repeat(5000)],
    ['two bytes each', 'ü'.repeat(5000)],
    ['pairs', '😀'.repeat(3000)],
    ['escapes', '"\n'.repeat(3000)],
  ])('a line that is too long is cut in its longest text: %s', (_name, message) => {
    const long = encodeLogLine({ sequence: 3, event: { event: 'failed', code: 'IO_FAILED', message } })
    expect(long.length).toBe(LOG_LINE_BYTES)
    expect(long.at(-1)).toBe(0x0a)
    const [decoded] = decodeLog(logOf(long))
    expect(decoded?.event).toMatchObject({ event: 'failed', code: 'IO_FAILED' })
    expect(decoded?.event.message?.length).toBeGreaterThan(100)
  })

  test('a line is readable as it is', () => {
    expect(line(12).toString().trimEnd()).toMatch(
      /^00000012 [0-9a-f]{8} \{"event":"step","step":"write 12"\}$/,
    )
  })
})
