import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { digestOf } from '../../src/core/digest.ts'
import { openTarget } from '../../src/diff/target.ts'
import { createVariant } from '../../src/diff/variant.ts'
import { applyBytes, codecs, codeOf, makeBundle, noise } from '../support/bundles.ts'
import { memoryRegion } from '../support/memory-region.ts'

/** A base and a target that differ by random edits: bytes changed, inserted, removed, moved, zeroed. */
const edit = fc.record({
  kind: fc.constantFrom('change', 'insert', 'remove', 'move', 'zero'),
  at: fc.nat(99_999),
  bytes: fc.nat(9000),
  from: fc.nat(99_999),
})

function edited(
  base: Buffer,
  edits: readonly (typeof edit extends fc.Arbitrary<infer E> ? E : never)[],
): Buffer {
  return edits.reduce((image, { kind, at, bytes, from }) => {
    const start = at % (image.length + 1)
    const [before, after] = [image.subarray(0, start), image.subarray(start)]
    switch (kind) {
      case 'change':
        return Buffer.concat([before, noise(Math.min(bytes, after.length), bytes), after.subarray(bytes)])
      case 'insert':
        return Buffer.concat([before, noise(bytes, from), after])
      case 'remove':
        return Buffer.concat([before, after.subarray(bytes)])
      case 'move':
        return Buffer.concat([
          before,
          image.subarray(from % image.length, (from % image.length) + bytes),
          after,
        ])
      default:
        return Buffer.concat([before, Buffer.alloc(Math.min(bytes, after.length)), after.subarray(bytes)])
    }
  }, base)
}

describe('a delta', () => {
  test('makes the target from the base, whatever changed', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(100_000),
        fc.array(edit, { maxLength: 8 }),
        fc.constantFrom(4096, 16384, 65536),
        async (baseBytes, edits, chunkBytes) => {
          const base = noise(baseBytes + 1, 7)
          const target = edited(base, edits)
          if (target.length === 0) return
          const { bytes } = await makeBundle({ base, target, chunkBytes })
          const slot = memoryRegion(Buffer.alloc(target.length, 0xaa))
          await applyBytes({ bytes, base, target: slot })
          expect(slot.content.equals(target)).toBe(true)
        },
      ),
      { numRuns: 150 },
    )
  })

  test('makes the target from nothing', async () => {
    for (const bytes of [1, 511, 4095, 4096, 4097, 100_000]) {
      const target = Buffer.concat([noise(bytes), Buffer.alloc(bytes % 5000)])
      const made = await makeBundle({ target })
      const slot = memoryRegion(Buffer.alloc(target.length + 1, 0xaa))
      await applyBytes({ bytes: made.bytes, target: slot })
      expect(slot.content.subarray(0, -1).equals(target)).toBe(true)
      expect(slot.content.at(-1)).toBe(0xaa)
      expect(made.manifest.image.digest).toBe(digestOf(target))
    }
  })

  test('costs little where little changed, and copies across an insertion and a move', async () => {
    const MiB = 1024 * 1024
    const base = noise(4 * MiB)
    const target = Buffer.concat([
      base.subarray(0, MiB),
      noise(777, 5),
      base.subarray(3 * MiB),
      Buffer.alloc(MiB),
      base.subarray(MiB, 3 * MiB),
    ])
    for (let at = 5000; at < target.length; at += 100_000) target[at] = (target[at] ?? 0) ^ 1
    const { parts } = await makeBundle({ base, target, chunkBytes: MiB })
    expect(parts.end - (parts.segments[0] ?? 0)).toBeLessThan(777 + 60 * 12 + 200)
  })

  test('stops when it is told to, and ends with the error of its sink', async () => {
    const target = await openTarget(memoryRegion(noise(90_000)), codecs)
    const packing = { packing: 'zstd', level: 1, windowBytes: 65_536 } as const
    const options = { codecs, target, chunkBytes: 4096, minCopyBytes: 128, ...packing }
    const sink = async (): Promise<void> => {}
    const aborted = createVariant({ ...options, signal: AbortSignal.abort() }, { program: sink, data: sink })
    await expect(aborted).rejects.toThrow('aborted')
    const full = async (): Promise<void> => {
      throw new Error('disk full')
    }
    await expect(createVariant(options, { program: sink, data: full })).rejects.toThrow('disk full')
    await expect(createVariant(options, { program: full, data: sink })).rejects.toThrow('disk full')
  })
})

describe('applying', () => {
  const base = noise(50_000, 3)
  const target = Buffer.concat([base.subarray(25_000), noise(10_000, 4), base.subarray(0, 30_000)])

  test('again writes nothing', async () => {
    const { bytes } = await makeBundle({ base, target })
    const slot = memoryRegion(Buffer.from(target))
    expect(await applyBytes({ bytes, base, target: slot })).toEqual({
      writtenBytes: 0,
      skippedBytes: target.length,
    })
    expect(slot.counts.writes).toBe(0)
  })

  test('writes only the chunks that are not right, and flushes them', async () => {
    const { bytes } = await makeBundle({ base, target })
    const slot = memoryRegion(Buffer.from(target))
    slot.content[9000] = (slot.content[9000] ?? 0) ^ 1
    expect(await applyBytes({ bytes, base, target: slot })).toMatchObject({ writtenBytes: 4096 })
    expect(slot.counts.flushes).toBe(1)
    expect(slot.content.equals(target)).toBe(true)
  })

  test('is refused without the base, with a short one, and into a slot that is too small, before any write', async () => {
    const { bytes } = await makeBundle({ base, target })
    const slot = memoryRegion(Buffer.alloc(target.length))
    expect(await codeOf(() => applyBytes({ bytes, target: slot }))).toBe('BASE_MISMATCH')
    expect(await codeOf(() => applyBytes({ bytes, base: base.subarray(1), target: slot }))).toBe(
      'BASE_MISMATCH',
    )
    const small = memoryRegion(Buffer.alloc(target.length - 1))
    expect(await codeOf(() => applyBytes({ bytes, base, target: small }))).toBe('IMAGE_TOO_BIG')
    expect(slot.counts.writes + small.counts.writes).toBe(0)
  })

  test('never writes a chunk that comes out wrong', async () => {
    const { bytes } = await makeBundle({ base, target })
    const wrong = Buffer.from(base)
    wrong[40_000] = (wrong[40_000] ?? 0) ^ 1
    const slot = memoryRegion(Buffer.alloc(target.length))
    expect(await codeOf(() => applyBytes({ bytes, base: wrong, target: slot }))).toBe('BASE_MISMATCH')
    const done = slot.counts.writtenBytes
    expect(slot.content.subarray(0, done).equals(target.subarray(0, done))).toBe(true)
    expect(slot.content.subarray(done).equals(Buffer.alloc(target.length - done))).toBe(true)
  })
})
