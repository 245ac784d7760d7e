import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { blake3, digestOf } from '../../src/core/digest.ts'
import { encodePayload, type Op, readPayload, writeOps } from '../../src/delta/ops.ts'
import { readVarints, unzigzag, writeVarint, zigzag } from '../../src/delta/varint.ts'
import { applyBytes, assemble, codec, codeOf, makeBundle, noise, testKey } from '../support/bundles.ts'
import { memoryRegion } from '../support/memory-region.ts'

const CHUNK = 4096
const BASE_BYTES = 10_000

/** A correctly signed bundle whose one segment has this content. */
async function applyContent(
  content: Buffer,
  claim: { rawBytes?: number; frame?: Buffer } = {},
): Promise<string> {
  const { manifest } = await makeBundle({ target: noise(CHUNK), base: noise(BASE_BYTES, 2) })
  const frame = claim.frame ?? (await codec.compress(content, 3))
  const rawBytes = claim.rawBytes ?? content.length
  const segments = [{ firstChunk: 0, chunks: 1, bytes: frame.length, rawBytes, digest: digestOf(frame) }]
  const { bytes } = await assemble({ manifest: { ...manifest, segments }, payload: [frame], keys: [testKey] })
  const slot = memoryRegion(Buffer.alloc(CHUNK))
  const code = await codeOf(() => applyBytes({ bytes, base: noise(BASE_BYTES, 2), target: slot }))
  if (code !== 'none' && slot.counts.writes > 0) expect(digestOf(slot.content)).toBe(manifest.image.digest)
  return code
}

function ops(...list: Op[]): Buffer {
  const writer = writeOps(0)
  for (const op of list) writer.add(op)
  return writer.end()
}

function numbers(...list: number[]): Buffer {
  const bytes: number[] = []
  for (const number of list) writeVarint(bytes, number)
  return Buffer.from(bytes)
}

describe('numbers', () => {
  test('come back as they were', () => {
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

  test('that are padded, too large or cut are refused', () => {
    for (const hex of ['8000', 'ff8000', '80', 'ffffffffffffffff7f', 'ffffffffffffffffffff', '']) {
      const bytes = Buffer.from(hex, 'hex')
      expect(() => readVarints(bytes, 0, bytes.length).next(), hex).toThrow(
        expect.objectContaining({ code: 'BUNDLE_MALFORMED' }),
      )
    }
  })
})

describe('signed operations that lie', () => {
  const literal = noise(CHUNK)
  const copyAll: Op = { kind: 'literal', bytes: CHUNK }

  test('the honest form passes', async () => {
    expect(await applyContent(encodePayload(ops(copyAll), literal))).toBe('none')
  })

  test('too few, too many or unused bytes', async () => {
    const cases: [string, Buffer][] = [
      ['no operation', encodePayload(Buffer.alloc(0), literal)],
      ['too short', encodePayload(ops({ kind: 'zero', bytes: CHUNK - 1 }), Buffer.alloc(0))],
      ['too long', encodePayload(ops({ kind: 'zero', bytes: CHUNK + 1 }), Buffer.alloc(0))],
      ['far too long', encodePayload(numbers(2 ** 52), Buffer.alloc(0))],
      ['an empty one', encodePayload(Buffer.concat([numbers(0), ops(copyAll)]), literal)],
      ['an unknown one', encodePayload(numbers(CHUNK * 4 + 3), literal)],
      ['one left over', encodePayload(ops(copyAll, { kind: 'zero', bytes: 1 }), literal)],
      ['missing literals', encodePayload(ops(copyAll), literal.subarray(1))],
      ['left-over literals', encodePayload(ops(copyAll), Buffer.concat([literal, Buffer.alloc(1)]))],
      ['operations beyond the content', Buffer.concat([numbers(1000), ops(copyAll)])],
      ['an absurd length', Buffer.concat([numbers(2 ** 52), ops(copyAll)])],
    ]
    for (const [name, content] of cases) expect(await applyContent(content), name).toBe('BUNDLE_MALFORMED')
  })

  test('are told by what they name and what is there', () => {
    const limits = { start: 0, baseBytes: 0 }
    expect(() => readPayload(Buffer.concat([numbers(9), Buffer.alloc(8)]), limits)).toThrow(
      'names 9 bytes of operations, 8 are there',
    )
  })

  test('copies from outside the base', async () => {
    const copy = (baseOffset: number): Op => ({ kind: 'copy', bytes: CHUNK, baseOffset })
    for (const offset of [-1, BASE_BYTES - CHUNK + 1, BASE_BYTES, 2 ** 40, -(2 ** 40)]) {
      expect(await applyContent(encodePayload(ops(copy(offset)), Buffer.alloc(0))), `${offset}`).toBe(
        'BUNDLE_MALFORMED',
      )
    }
    // Inside the base it is only wrong.
    const code = await applyContent(encodePayload(ops(copy(BASE_BYTES - CHUNK)), Buffer.alloc(0)))
    expect(code).toBe('BASE_MISMATCH')
  })

  test('literals with the wrong content', async () => {
    expect(await applyContent(encodePayload(ops(copyAll), noise(CHUNK, 9)))).toBe('BUNDLE_CORRUPT')
  })

  test('frames that decode to more or less than they say, or not at all', async () => {
    const content = encodePayload(ops(copyAll), literal)
    expect(await applyContent(content, { rawBytes: content.length - 1 })).toBe('BUNDLE_MALFORMED')
    expect(await applyContent(content, { rawBytes: content.length + 1 })).toBe('BUNDLE_MALFORMED')
    // The missing byte must not come from what the buffer held before.
    const short = encodePayload(ops(copyAll), literal.subarray(0, -1))
    expect(await applyContent(short, { rawBytes: short.length + 1 })).toBe('BUNDLE_MALFORMED')
    expect(await applyContent(content, { frame: noise(100) })).toBe('BUNDLE_MALFORMED')
    const bomb = await codec.compress(Buffer.alloc(50_000_000), 3)
    expect(await applyContent(content, { frame: bomb })).toBe('BUNDLE_MALFORMED')
  })

  test('arbitrary content ends in an error of ours or makes exact chunks', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (content) => {
        try {
          const reader = readPayload(content, { start: 0, baseBytes: 1000 })
          const list = reader.take(64)
          expect(list.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(64)
          for (const op of list) {
            if (op.kind === 'literal') expect(reader.literal(op.bytes)).toHaveLength(op.bytes)
            if (op.kind === 'copy') expect(op.baseOffset >= 0 && op.baseOffset + op.bytes <= 1000).toBe(true)
          }
          reader.end()
        } catch (error) {
          expect(error).toMatchObject({ code: 'BUNDLE_MALFORMED' })
        }
      }),
      { numRuns: 20_000 },
    )
  })
})

test('a digest does not depend on how its bytes are fed', () => {
  // Test vector of the BLAKE3 authors for one zero byte.
  expect(digestOf(Buffer.alloc(1))).toBe('2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213')
  const large = noise(600_000)
  expect(blake3(large).toString('hex')).toBe(digestOf(large))
})
