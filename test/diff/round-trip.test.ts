import { describe, expect, test } from 'vitest'
import { digestOf } from '../../src/core/digest.ts'
import { noise } from '../expand/real-images.ts'
import { numbers } from '../native/content.ts'
import { applyBytes, type MadeBundle, makeBundle } from '../support/bundles.ts'
import { memoryRegion } from '../support/memory-region.ts'
import { type ImageKind, imageKinds } from './images.ts'
import { slowly } from './slowly.ts'
import { editTree, makeTree, packTree } from './tree.ts'

/** More are tried with PINE_SEEDS=50; one again with PINE_SEED=17, for one kind of image with -t. */
const { PINE_SEED, PINE_SEEDS = '1' } = process.env

/** Others for each kind of image. */
function seedsOf(kind: number): number[] {
  if (PINE_SEED !== undefined) return [Number(PINE_SEED)]
  return Array.from({ length: Number(PINE_SEEDS) }, (_, index) => index * 100 + kind + 1)
}

const CHUNK_BYTES = [4096, 65_536, 1024 * 1024]

interface Release {
  readonly older: Buffer
  readonly old: Buffer
  readonly now: Buffer
  readonly chunkBytes: number
}

function makeRelease({ make }: ImageKind, seed: number): Release {
  const trees = [makeTree(seed)]
  for (const edit of [1, 2]) trees.push(editTree(trees[edit - 1] ?? makeTree(seed), seed * 1000 + edit))
  const [older, old, now] = trees.map((tree) => make(packTree(tree)))
  if (!older || !old || !now) throw new Error('three trees make three images')
  return { older, old, now, chunkBytes: CHUNK_BYTES[seed % CHUNK_BYTES.length] ?? 4096 }
}

/** What the slot holds before: nothing of use, the old image, or a part of the new one. */
function slotBefore({ old, now }: Release, next: (below: number) => number): Buffer {
  const slot = noise(now.length + 4096, next(1000))
  const kind = next(3)
  if (kind === 1) old.copy(slot)
  if (kind === 2) now.copy(slot, 0, 0, next(now.length))
  return slot
}

async function expectImage(
  made: MadeBundle,
  release: Release,
  { variant, base, seed }: { variant: number; base?: Buffer; seed: number },
) {
  const before = slotBefore(release, numbers(seed * 10 + variant))
  const slot = memoryRegion(Buffer.from(before))
  const { now } = release
  const result = await applyBytes({
    bytes: made.bytes,
    variant,
    target: slot,
    pieceBytes: 65_536,
    ...(base && { base }),
  })
  expect(digestOf(slot.content.subarray(0, now.length)), `variant ${variant}`).toBe(digestOf(now))
  expect(slot.content.subarray(now.length).equals(before.subarray(now.length))).toBe(true)
  expect(result.writtenBytes + result.skippedBytes).toBe(now.length)
}

describe.each(imageKinds().map((kind, index) => ({ ...kind, seeds: seedsOf(index) })))('$name', (kind) => {
  describe.skipIf(!kind.isThere).each(kind.seeds)('seed %i', (seed) => {
    test('each host gets the new image bit for bit from what it has, and the bundle is the same when made again', async () => {
      const release = makeRelease(kind, seed)
      const { older, old, now, chunkBytes } = release
      const input = { target: now, bases: [old, older, undefined], chunkBytes }
      const made = await makeBundle(input)
      await expectImage(made, release, { variant: 0, base: old, seed })
      await expectImage(made, release, { variant: 1, base: older, seed })
      await expectImage(made, release, { variant: 2, seed })
      const again = await makeBundle({ ...input, codecs: slowly(seed) })
      expect(digestOf(again.bytes)).toBe(digestOf(made.bytes))
    })
  })
})
