import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { openBundle } from '../../src/bundle/reader.ts'
import { applyBytes, arriving, codeOf, type MadeBundle, makeBundle, noise } from '../support/bundles.ts'
import { type MemoryRegion, memoryRegion } from '../support/memory-region.ts'

const base = noise(60_000, 1)
const target = Buffer.concat([
  base.subarray(0, 20_000),
  noise(25_000, 2),
  base.subarray(30_000),
  Buffer.alloc(9000),
])
/** A delta, and behind it a full variant: its last. */
let made: MadeBundle
const LAST = 1
/** Where the segments of the delta start, and where they end. */
let ofDelta: { starts: number[]; end: number }
beforeAll(async () => {
  made = await makeBundle({ target, bases: [base, undefined] })
  const count = made.manifest.variants[0]?.segments.length ?? 0
  expect(count).toBeGreaterThan(1)
  const { segments } = made.parts
  ofDelta = { starts: segments.slice(0, count), end: segments[count] ?? 0 }
})

function slotOf(bytes: number): MemoryRegion {
  return memoryRegion(Buffer.alloc(bytes, 0xee))
}

function apply(bytes: Buffer, slot = slotOf(target.length), variant = 0): Promise<string> {
  return codeOf(() => applyBytes({ bytes, base, target: slot, variant }))
}

function flipped(at: number, bit = 1): Buffer {
  const bytes = Buffer.from(made.bytes)
  bytes[at] = (bytes[at] ?? 0) ^ bit
  return bytes
}

describe('a bundle', () => {
  test('makes the image either way, in whatever pieces it arrives', async () => {
    for (const [variant, pieceBytes] of [0, LAST].flatMap((index) =>
      [1, 7, 1000, 1e6].map((n) => [index, n] as const),
    )) {
      const slot = slotOf(target.length + 5000)
      await applyBytes({ bytes: made.bytes, base, target: slot, pieceBytes, variant })
      expect(slot.content.subarray(0, target.length).equals(target)).toBe(true)
      expect(slot.content.subarray(target.length).equals(Buffer.alloc(5000, 0xee))).toBe(true)
    }
  })

  test('is the same bytes when made again', async () => {
    expect((await makeBundle({ target, bases: [base, undefined] })).bytes.equals(made.bytes)).toBe(true)
  })

  test('with a flipped bit in its header is refused, each field in its own way', async () => {
    const refused: Record<number, string[]> = {}
    for (let at = 0; at < 24; at++) {
      const slot = memoryRegion(Buffer.alloc(target.length))
      refused[at] = await Promise.all([1, 0x80].map((bit) => apply(flipped(at, bit), slot)))
      expect(slot.counts.writes).toBe(0)
    }
    for (const at of [0, 7, 23]) expect(refused[at]).toEqual(['BUNDLE_MALFORMED', 'BUNDLE_MALFORMED'])
    for (const at of [8, 11]) expect(refused[at]).toEqual(['BUNDLE_TOO_NEW', 'BUNDLE_TOO_NEW'])
    for (const at of [12, 15, 16, 19, 20]) expect(refused[at]).not.toContain('none')
  })

  test('with a flipped bit in manifest or signatures is untrusted, and nothing is written', async () => {
    const end = made.parts.segments[0] ?? 0
    for (let at = made.parts.manifest; at < end; at++) {
      const slot = memoryRegion(Buffer.alloc(target.length))
      expect(await apply(flipped(at), slot), `byte ${at}`).toBe('BUNDLE_UNTRUSTED')
      expect(slot.counts.writes).toBe(0)
    }
  })

  test('with a flipped bit in a segment is corrupt; what was written before is right', async () => {
    for (const [index, start] of ofDelta.starts.entries()) {
      const end = ofDelta.starts[index + 1] ?? ofDelta.end
      for (const at of [start, Math.floor((start + end) / 2), end - 1]) {
        const slot = slotOf(target.length)
        expect(await apply(flipped(at), slot), `byte ${at}`).toBe('BUNDLE_CORRUPT')
        expect(wrongChunks(slot.content)).toBe(0)
      }
    }
  })

  test('serves a host whose variant is whole, whatever happened to the others', async () => {
    const first = flipped(ofDelta.starts[0] ?? 0)
    expect(await apply(first)).toBe('BUNDLE_CORRUPT')
    expect(await apply(first, slotOf(target.length), LAST)).toBe('none')
    expect(await apply(flipped(made.parts.end - 1))).toBe('none')
    expect(await apply(made.bytes.subarray(0, ofDelta.end))).toBe('none')
  })

  test('is checked to its last byte when all of it is asked for', async () => {
    const check = async (bytes: Buffer): Promise<number> => {
      const opened = await openBundle(arriving(bytes))
      let found = 0
      for await (const entry of opened.allSegments(made.manifest.variants)) found += entry.bytes
      return found
    }
    expect(await check(made.bytes)).toBe(made.parts.end - (made.parts.segments[0] ?? 0))
    for (const start of made.parts.segments)
      expect(await codeOf(() => check(flipped(start)))).toBe('BUNDLE_CORRUPT')
    expect(await codeOf(() => check(made.bytes.subarray(0, -1)))).toBe('BUNDLE_TRUNCATED')
    expect(await codeOf(() => check(Buffer.concat([made.bytes, Buffer.alloc(1)])))).toBe('BUNDLE_MALFORMED')
  })

  test('cut short at any boundary is truncated, and can be resumed', async () => {
    const { manifest, signatures } = made.parts
    const starts = [0, 8, manifest, signatures, ...ofDelta.starts]
    for (const cut of [...starts, ...starts.map((at) => at + 1), ofDelta.end - 1]) {
      const slot = slotOf(target.length)
      expect(await apply(made.bytes.subarray(0, cut), slot), `cut at ${cut}`).toBe('BUNDLE_TRUNCATED')
      expect(wrongChunks(slot.content)).toBe(0)
      const { counts } = slot
      const before = counts.writtenBytes
      const result = await applyBytes({ bytes: made.bytes, base, target: slot })
      expect(result).toEqual({ skippedBytes: before, writtenBytes: target.length - before })
      expect(slot.content.equals(target)).toBe(true)
    }
  })

  test('with bytes after its end is malformed', async () => {
    const longer = Buffer.concat([made.bytes, Buffer.alloc(1)])
    expect(await apply(longer, slotOf(target.length), LAST)).toBe('BUNDLE_MALFORMED')
  })

  test('that is something else is malformed', async () => {
    expect(await apply(Buffer.from('#!/bin/sh\n'))).toBe('BUNDLE_MALFORMED')
    expect(await apply(noise(5000))).toBe('BUNDLE_MALFORMED')
  })

  test('of arbitrary bytes after a true start never gets through', async () => {
    const start = made.bytes.subarray(0, 12)
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (tail) => {
        expect(await apply(Buffer.concat([start, tail]))).toMatch(/^BUNDLE_/)
      }),
      { numRuns: 300 },
    )
  })

  test('lets its source go when it fails and when it ends', async () => {
    const closed: string[] = []
    async function* source(bytes: Buffer, name: string) {
      try {
        yield* arriving(bytes)
        yield Buffer.alloc(0)
      } finally {
        closed.push(name)
      }
    }
    await codeOf(() => openBundle(source(noise(5000), 'junk')))
    const opened = await openBundle(source(made.bytes, 'left'))
    await opened.close()
    const read = await openBundle(source(made.bytes, 'stopped'))
    const [variant] = made.manifest.variants
    if (variant === undefined) throw new Error('the sample needs a variant')
    for await (const { entry } of read.segments(made.manifest.variants, variant)) {
      expect(entry).toEqual(variant.segments[0])
      break
    }
    expect(closed).toEqual(['junk', 'left', 'stopped'])
  })
})

/** Chunks that are neither untouched nor right. */
function wrongChunks(slot: Buffer): number {
  let wrong = 0
  for (let at = 0; at < target.length; at += 4096) {
    const chunk = slot.subarray(at, at + 4096)
    const isRight = chunk.equals(target.subarray(at, at + 4096))
    if (!isRight && !chunk.equals(Buffer.alloc(chunk.length, 0xee))) wrong += 1
  }
  return wrong
}
