import { describe, expect, test } from 'vitest'
import { insideOrder, type Part, partsOf } from '../../src/diff/inside.ts'
import { bzImage, pipe } from '../expand/programs.ts'
import { systemBytes } from '../native/content.ts'
import { applyBytes, makeBundle } from '../support/bundles.ts'
import { memoryRegion } from '../support/memory-region.ts'
import { programIn } from '../support/programs.ts'
import { imageKinds } from './images.ts'
import { builds, hasCompiler } from './tree.ts'

interface Payload {
  readonly at: number
  readonly stored: number
  readonly content: { readonly length: number }
}

const payload = (at: number, stored: number, length: number): Payload => ({ at, stored, content: { length } })

/** Where each part is in the file, and where inside. */
function placesOf(parts: readonly Part<Payload>[]): number[][] {
  return parts.map(({ at, stored, inside, bytes }) => [at, stored, inside, bytes])
}

describe('the inside of a file', () => {
  test('without payloads is the file', () => {
    expect(partsOf(100, [])).toEqual([{ at: 0, stored: 100, inside: 0, bytes: 100, payload: undefined }])
  })

  test('of no bytes has no parts', () => {
    expect(partsOf(0, [])).toEqual([])
  })

  test('is its head, all contents, then the rest; parts keep the order of the file', () => {
    const [first, second] = [payload(10, 20, 200), payload(40, 30, 300)]
    const parts = partsOf(100, [first, second])
    expect(placesOf(parts)).toEqual([
      [0, 10, 0, 10],
      [10, 20, 10, 200],
      [30, 10, 510, 10],
      [40, 30, 210, 300],
      [70, 30, 520, 30],
    ])
    expect(parts.map((part) => part.payload)).toEqual([undefined, first, undefined, second, undefined])
    expect(insideOrder(parts).map(({ at }) => at)).toEqual([0, 10, 40, 30, 70])
  })

  test('has no head where it begins with a payload, and no rest where it ends with one', () => {
    expect(placesOf(partsOf(50, [payload(0, 20, 5), payload(20, 30, 6)]))).toEqual([
      [0, 20, 0, 5],
      [20, 30, 5, 6],
    ])
  })

  test('has what was cut into pieces, with their lengths between them, in one', () => {
    const pieces = [0, 1, 2].map((number) => payload(1000 + number * 104, 100, 8000))
    const parts = partsOf(2000, pieces)
    const contents = parts.filter((part) => part.payload !== undefined)
    expect(contents.map(({ inside }) => inside)).toEqual([1000, 9000, 17_000])
    const others = parts.filter((part) => part.payload === undefined)
    expect(others.map(({ inside, bytes }) => [inside, bytes])).toEqual([
      [0, 1000],
      [25_000, 4],
      [25_004, 4],
      [25_008, 692],
    ])
  })
})

/** What the program `lz4` packs as a piece of its own. */
const PIECE_BYTES = 8 * 1024 * 1024

const squashfs = imageKinds().find(({ name }) => name === 'squashfs lz4')

/** An image with a kernel that is cut within its program. */
function imageWith(program: Buffer | undefined): Buffer {
  if (squashfs === undefined || program === undefined) throw new Error('there are builds and images')
  const before = systemBytes(PIECE_BYTES - program.length / 2)
  const packed = pipe('lz4', ['-l', '-9', '-c'], Buffer.concat([before, program]))
  return squashfs.make(new Map([['boot/vmlinuz', bzImage(packed)]]))
}

test.skipIf(!squashfs?.isThere || !hasCompiler())(
  'a program that is cut into pieces in a kernel is compared as a program',
  async () => {
    const [base, target] = builds().shared.map((program) => imageWith(program))
    if (!base || !target) throw new Error('there are builds')
    const made = await makeBundle({ base, target })
    const kinds = [...programIn(made).ops()].map(({ kind }) => kind)
    expect(kinds.filter((kind) => kind === 'open')).toHaveLength(2)
    expect(kinds).toContain('moved')
    const slot = memoryRegion(Buffer.alloc(target.length))
    await applyBytes({ bytes: made.bytes, base, target: slot })
    expect(slot.content.equals(target)).toBe(true)
  },
)
