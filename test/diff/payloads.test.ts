import { describe, expect, test } from 'vitest'
import { acceptPayload } from '../../src/diff/payloads.ts'
import { openTarget } from '../../src/diff/target.ts'
import { fromFile, pipe } from '../expand/programs.ts'
import { systemBytes } from '../native/content.ts'
import { applyBytes, codecs, makeBundle, makeVariant } from '../support/bundles.ts'
import { memoryRegion } from '../support/memory-region.ts'
import { programIn } from '../support/programs.ts'
import { imageKinds } from './images.ts'

const MIB = 1024 * 1024

describe('a payload', () => {
  const accept = acceptPayload(codecs)

  test('is made again by hosts with little memory, too', () => {
    expect(accept({ codec: 'gzip', params: [9] }, 200 * MIB)).toBe(true)
    expect(accept({ codec: 'zstd-mt', params: [9, 2] }, 200 * MIB)).toBe(true)
    expect(accept({ codec: 'xz', params: [6, MIB, 1, 0] }, 10 * MIB)).toBe(true)
  })

  test('is sent as it is where its encoder takes more', () => {
    expect(accept({ codec: 'zstd-mt', params: [19, 2] }, MIB)).toBe(false)
    expect(accept({ codec: 'zstd', params: [22, 0] }, 10 * MIB)).toBe(false)
    expect(accept({ codec: 'xz', params: [6, 64 * MIB, 4, 0] }, MIB)).toBe(false)
  })

  test('is sent as it is where all of it has to be there at once, and is long', () => {
    expect(accept({ codec: 'xz', params: [0, 256 * 1024, 1, 0] }, 13 * MIB)).toBe(false)
    expect(accept({ codec: 'zstd-mt', params: [3, 0] }, 13 * MIB)).toBe(false)
  })

  test('is sent as it is where there is no such encoder, or nothing in it', () => {
    expect(accept({ codec: 'zstd', params: [23, 0] }, MIB)).toBe(false)
    expect(accept({ codec: 'gzip', params: [9] }, 0)).toBe(false)
  })
})

/** A file, by the length of its content and what packs it. */
type Packed = readonly [name: string, bytes: number, pack: (content: Buffer) => Buffer]

const AGAIN: readonly Packed[] = [
  ['zstd, from a pipe', 2 * MIB, (content) => pipe('zstd', ['-9', '-c'], content)],
  ['zstd, from a file, whose length is known', 2 * MIB, (content) => fromFile('zstd', ['-3', '-c'], content)],
  ['xz, all at once', 2 * MIB, (content) => pipe('xz', ['-0', '-T1'], content)],
]
const AS_IT_IS: readonly Packed[] = [
  ['zstd with a large window', 100_000, (content) => pipe('zstd', ['-19', '-c'], content)],
  ['xz, too long to be fed at once', 17 * MIB, (content) => pipe('xz', ['-0', '-T1'], content)],
  ['gzip, of nothing', 0, (content) => pipe('gzip', ['-9n'], content)],
]

const squashfs = imageKinds().find(({ name }) => name === 'squashfs gzip')

/** The images before and after something was taken out of the file. */
function imagesOf([, bytes, pack]: Packed): [base: Buffer, target: Buffer] {
  if (squashfs === undefined) throw new Error('there is no such kind')
  const now = systemBytes(bytes)
  const old = Buffer.concat([now.subarray(0, bytes / 2), Buffer.from('old'), now.subarray(bytes / 2)])
  return [squashfs.make(new Map([['file', pack(old)]])), squashfs.make(new Map([['file', pack(now)]]))]
}

/** How often a delta, which turns the one image into the other, opens an encoder. */
async function countStreams([base, target]: [base: Buffer, target: Buffer]): Promise<number> {
  const made = await makeBundle({ base, target })
  const slot = memoryRegion(Buffer.alloc(target.length))
  await applyBytes({ bytes: made.bytes, base, target: slot })
  expect(slot.content.equals(target)).toBe(true)
  return [...programIn(made).ops()].filter(({ kind }) => kind === 'open').length
}

describe.skipIf(!squashfs?.isThere)('a file packed by', () => {
  test.each(AGAIN)('%s is packed again', async (...packed) => {
    expect(await countStreams(imagesOf(packed))).toBe(1)
  })

  test.each(AS_IT_IS)('%s is sent as it is', async (...packed) => {
    expect(await countStreams(imagesOf(packed))).toBe(0)
  })

  test('whatever, in blocks that take too much memory to pack, is sent with them', async () => {
    const [base, target] = imagesOf(['gzip', 100_000, (content) => pipe('gzip', ['-9n'], content)])
    const large = { ...codecs, encoderBytes: () => 65 * MIB }
    const options = { target: await openTarget(memoryRegion(target), codecs), chunkBytes: 4096 }
    const { opaque } = await makeVariant({ ...options, codecs: large }, base)
    expect(opaque.units).toBeGreaterThan(0)
    expect((await makeVariant(options, base)).opaque.units).toBe(0)
  })
})
