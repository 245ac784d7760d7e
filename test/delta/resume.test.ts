import { beforeAll, describe, expect, test } from 'vitest'
import { chunkRange, type Span } from '../../src/bundle/manifest.ts'
import { digestOf } from '../../src/core/digest.ts'
import type { Region } from '../../src/core/region.ts'
import { inOrder } from '../../src/delta/order.ts'
import { imageKinds } from '../diff/images.ts'
import { editTree, makeTree, packTree, type Tree } from '../diff/tree.ts'
import { numbers } from '../native/content.ts'
import { applyBytes, codeOf, type MadeBundle, makeBundle } from '../support/bundles.ts'
import { type MemoryRegion, memoryRegion } from '../support/memory-region.ts'
import { applyProgram, PROGRAM_CHUNK_BYTES, programOf } from '../support/programs.ts'
import { makeHonest } from './honest.ts'

const CHUNK_BYTES = 16_384
/** One again: PINE_SEED=17. */
const SEEDS = process.env.PINE_SEED
  ? [Number(process.env.PINE_SEED)]
  : Array.from({ length: 20 }, (_, index) => index)

interface Write {
  readonly position: number
  readonly bytes: number
}

let old: Buffer
let now: Buffer
let made: MadeBundle
/** Where the bytes of the image are, in the order in which they are made. */
let order: readonly Span[]

beforeAll(async () => {
  const [squashfs] = imageKinds()
  const tree = smaller(makeTree(7))
  const files = [tree, editTree(tree, 8)].map((each) => packTree(each))
  // Without the program that makes it, plain bytes do.
  const [before, after] = files.map((each) =>
    squashfs?.isThere ? squashfs.make(each) : Buffer.concat([...each.values()]),
  )
  if (!before || !after) throw new Error('two trees make two images')
  old = before
  now = after
  made = await makeBundle({ base: old, target: now, chunkBytes: CHUNK_BYTES })
  order = made.manifest.image.order ?? [{ offset: 0, bytes: now.length }]
})

function smaller(tree: Tree): Tree {
  return { ...tree, files: new Map([...tree.files].filter(([path]) => path !== 'usr/lib/large')) }
}

/** A slot that runs `onWrite` before each write, which may fail. */
function watched(slot: MemoryRegion, onWrite: (write: Write, from: Uint8Array) => void): Region {
  return {
    ...slot,
    write: async (from, position) => {
      onWrite({ position, bytes: from.length }, from)
      await slot.write(from, position)
    },
  }
}

function apply(target: Region, signal?: AbortSignal): ReturnType<typeof applyBytes> {
  return applyBytes({ bytes: made.bytes, base: old, target, pieceBytes: 65_536, ...(signal && { signal }) })
}

function emptySlot(): MemoryRegion {
  return memoryRegion(Buffer.alloc(now.length, 0xee))
}

/** For each byte of the image: a 1 where the whole chunk that it belongs to is right. */
async function rightBytes(slot: Region): Promise<Uint8Array> {
  const [found, wanted] = [inOrder(slot, order), inOrder(memoryRegion(now), order)]
  const flat = Buffer.alloc(now.length)
  for (let index = 0; index * CHUNK_BYTES < now.length; index++) {
    const { offset, bytes } = chunkRange(made.manifest.image, index)
    const [left, right] = [Buffer.alloc(bytes), Buffer.alloc(bytes)]
    await found.read(left, offset)
    await wanted.read(right, offset)
    if (left.equals(right)) flat.fill(1, offset, offset + bytes)
  }
  const right = Buffer.alloc(now.length)
  await inOrder(memoryRegion(right), order).write(flat, 0)
  return right
}

/** Applies once more: all that is wrong is written, and nothing that is right. */
async function expectResumed(slot: MemoryRegion): Promise<void> {
  const right = await rightBytes(slot)
  const rewritten: Write[] = []
  const target = watched(slot, (write) => {
    if (right.subarray(write.position, write.position + write.bytes).includes(1)) rewritten.push(write)
  })
  const result = await apply(target)
  const kept = right.reduce((sum, isRight) => sum + isRight, 0)
  expect(rewritten).toEqual([])
  expect(result).toEqual({ skippedBytes: kept, writtenBytes: now.length - kept })
  expect(digestOf(slot.content)).toBe(made.manifest.image.digest)
}

/** Whole writes that an apply makes. */
async function countWrites(): Promise<number> {
  const slot = emptySlot()
  await apply(slot)
  return slot.counts.writes
}

describe('an apply that was interrupted', () => {
  let writes: number
  beforeAll(async () => {
    writes = await countWrites()
    expect(writes).toBeGreaterThan(20)
  })

  test.each(SEEDS)('by a write that failed half-way is resumed by the next one (seed %i)', async (seed) => {
    const next = numbers(seed)
    const slot = emptySlot()
    let left = next(writes)
    const failing = watched(slot, ({ position, bytes }, from) => {
      if (left-- > 0) return
      Buffer.from(from).copy(slot.content, position, 0, next(bytes + 1))
      throw new Error('power cut')
    })
    await expect(apply(failing)).rejects.toThrow('power cut')
    await expectResumed(slot)
  })

  test.each(SEEDS)('by whoever started it is resumed by the next one (seed %i)', async (seed) => {
    const slot = emptySlot()
    const stop = new AbortController()
    let left = numbers(seed)(writes)
    const target = watched(slot, () => {
      if (left-- === 0) stop.abort()
    })
    // An apply whose last operations run already comes to its end.
    const end = await apply(target, stop.signal).then(
      () => 'done',
      (error: Error) => error.name,
    )
    expect(['AbortError', 'done']).toContain(end)
    await expectResumed(slot)
  })

  test('before it began has written nothing', async () => {
    const slot = emptySlot()
    await expect(apply(slot, AbortSignal.abort())).rejects.toThrow('aborted')
    expect(slot.counts.writes).toBe(0)
  })

  test('again and again comes to its end, and writes each chunk once', async () => {
    const slot = emptySlot()
    const times = new Map<number, number>()
    let attempts = 0
    for (let isDone = false; !isDone; ) {
      expect(++attempts).toBeLessThan(writes)
      let left = 5
      const target = watched(slot, ({ position }) => {
        if (left-- === 0) throw new Error('power cut')
        times.set(position, (times.get(position) ?? 0) + 1)
      })
      isDone = await apply(target).then(
        () => true,
        () => false,
      )
    }
    expect(attempts).toBeGreaterThan(5)
    expect(digestOf(slot.content)).toBe(made.manifest.image.digest)
    expect([...times].filter(([, count]) => count > 1)).toEqual([])
  })
})

test('with any part of the image in the slot already, the rest is made', async () => {
  for (const seed of SEEDS.slice(0, 6)) {
    const next = numbers(seed + 100)
    const slot = memoryRegion(Buffer.from(now))
    for (let count = 1 + next(30); count > 0; count--)
      slot.content.fill(0xee, next(now.length), next(now.length))
    await expectResumed(slot)
  }
})

/** Which chunks are right: each alone, all but each, and some at random. */
function rightSets(chunks: number): boolean[][] {
  const indexes = Array.from({ length: chunks }, (_, index) => index)
  const random = Array.from({ length: 300 }, (_, seed) => {
    const next = numbers(seed + 1)
    return indexes.map(() => next(2) === 0)
  })
  return [
    ...indexes.flatMap((one) => [indexes.map((i) => i === one), indexes.map((i) => i !== one)]),
    ...random,
  ]
}

test('whichever chunks are right, every kind of operation makes the others', async () => {
  const honest = await makeHonest()
  const program = programOf(honest.head, honest.ops)
  const { image } = honest
  for (const right of rightSets(Math.ceil(image.length / PROGRAM_CHUNK_BYTES))) {
    const slot = memoryRegion(Buffer.alloc(image.length, 0xee))
    for (const [index, isRight] of right.entries()) {
      const at = index * PROGRAM_CHUNK_BYTES
      if (isRight) image.copy(slot.content, at, at, at + PROGRAM_CHUNK_BYTES)
    }
    const set = right.map(Number).join('')
    const end = await codeOf(() => applyProgram({ ...honest, program }, slot))
    expect([end, slot.content.equals(image)], set).toEqual(['none', true])
    expect(slot.counts.writes, set).toBe(right.filter((isRight) => !isRight).length)
  }
})
