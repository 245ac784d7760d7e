import { beforeAll, describe, expect, test } from 'vitest'
import {
  chunkRange,
  decodeManifest,
  encodeManifest,
  type Manifest,
  type Variant,
} from '../../src/bundle/manifest.ts'
import { type Canonical, decodeCanonical, encodeCanonical } from '../../src/bundle/msgpack.ts'
import { makeBundle, noise } from '../support/bundles.ts'

let good: Manifest
let delta: Variant
beforeAll(async () => {
  const target = noise(40_000)
  good = (await makeBundle({ target, bases: [noise(30_000, 2), undefined] })).manifest
  const [first] = good.variants
  if (!first) throw new Error('the sample needs a variant')
  delta = first
})

function refuses(change: object, why: RegExp): void {
  const bytes = encodeManifest({ ...good, ...change })
  expect(() => decodeManifest(bytes)).toThrow(
    expect.objectContaining({ code: 'BUNDLE_MALFORMED', message: expect.stringMatching(why) }),
  )
}

function refusesVariant(change: object, why: RegExp): void {
  refuses({ variants: [{ ...delta, ...change }] }, why)
}

/** For changes that the type does not allow. */
function refusesRaw(change: (raw: Record<string, Canonical>) => void, why: RegExp): void {
  const raw = structuredClone(decodeCanonical(encodeManifest(good))) as Record<string, Canonical>
  change(raw)
  expect(() => decodeManifest(encodeCanonical(raw))).toThrow(
    expect.objectContaining({ code: 'BUNDLE_MALFORMED', message: expect.stringMatching(why) }),
  )
}

describe('a manifest', () => {
  test('comes back as it was', () => {
    const half = good.image.bytes / 2
    const order = [
      { offset: half, bytes: half },
      { offset: 0, bytes: half },
    ]
    const full = {
      ...good,
      expires: 1_800_000_000,
      kernel: { linux: '/boot/vmlinuz', initrd: '/boot/initrd.img' },
      image: { ...good.image, order },
    }
    expect(decodeManifest(encodeManifest(full))).toEqual(full)
    expect(decodeManifest(encodeManifest(good))).toEqual(good)
  })

  test('can be of an image above 4 GiB', () => {
    const bytes = 5 * 1024 ** 3 + 512
    const chunks = Buffer.alloc(5121 * 32, 7)
    const large = { ...good, image: { ...good.image, bytes, chunkBytes: 1024 ** 2, chunks } }
    expect(decodeManifest(encodeManifest(large))).toEqual(large)
  })

  test('is closed: an unknown, missing or empty field is an error', () => {
    refusesRaw((raw) => Object.assign(raw, { hooks: ['/bin/sh'] }), /hooks/)
    refusesRaw((raw) => Object.assign(raw.image as object, { path: '/dev/sda' }), /image.path/)
    refusesRaw((raw) => delete raw.epoch, /epoch/)
    refusesRaw((raw) => Object.assign(raw, { expires: null }), /expires/)
    refusesRaw((raw) => Object.assign(raw, { variants: null }), /variants/)
    refusesVariant({ script: '/bin/sh' }, /variants.0.script/)
    refusesVariant({ memoryBytes: null }, /variants.0.memoryBytes/)
    expect(() => decodeManifest(encodeCanonical([]))).toThrow('manifest is invalid')
  })

  test('has fields of the right kind', () => {
    refuses({ format: 2 }, /format/)
    refuses({ compatible: '' }, /compatible/)
    refuses({ compatible: 'two words' }, /compatible/)
    refuses({ version: 'latest' }, /version: expected a version/)
    refuses({ image: { ...good.image, fs: 'ntfs' } }, /image.fs/)
    refuses({ image: { ...good.image, digest: 'abcd' } }, /image.digest: expected 32/)
    refuses({ image: { ...good.image, bytes: 0 } }, /image.bytes/)
    refuses({ image: { ...good.image, bytes: 2 ** 45 } }, /image.bytes/)
    for (const chunkBytes of [0, 1, 2048, 5000, 2 ** 21])
      refuses({ image: { ...good.image, chunkBytes } }, /chunkBytes/)
    for (const linux of ['boot/vmlinuz', '/boot/../x', '/', '//x', '/a/.', '/a b']) {
      refuses({ kernel: { linux, initrd: '/i' } }, /kernel.linux/)
    }
    refuses({ expires: good.created }, /expires/)
  })

  test('says in each variant what it takes, within limits', () => {
    const [segment] = delta.segments
    refuses({ variants: [] }, /variants/)
    refuses({ variants: Array(17).fill(delta) }, /variants/)
    refusesVariant({ base: { digest: 'abcd', bytes: 5 } }, /base.digest: expected 32/)
    refusesVariant({ base: { ...delta.base, bytes: 0 } }, /base.bytes/)
    refusesVariant({ codecs: [{ name: 'zstd' }, { name: 'zstd' }] }, /twice/)
    refusesVariant({ packing: 'gzip' }, /packing/)
    for (const windowBytes of [0, 4095, 2 ** 24 + 1]) refusesVariant({ windowBytes }, /windowBytes/)
    for (const programSegments of [0, 17]) refusesVariant({ programSegments }, /programSegments/)
    refusesVariant({ segments: [], programSegments: 1 }, /program has 1 segments of 0/)
    refusesVariant({ programSegments: delta.segments.length + 1 }, /the program has/)
    refusesVariant({ segments: [{ ...segment, bytes: 0 }] }, /bytes/)
    refusesVariant({ segments: [{ ...segment, bytes: 2 ** 24 + 1 }] }, /bytes/)
    refusesVariant({ segments: [{ ...segment, rawBytes: 2 ** 24 + 1 }] }, /rawBytes/)
    refusesVariant({ segments: [{ ...segment, digest: 'abcd' }] }, /digest/)
  })

  test('has a digest for each chunk', () => {
    refuses({ image: { ...good.image, chunks: good.image.chunks.subarray(1) } }, /image.chunks has/)
    refuses({ image: { ...good.image, bytes: good.image.bytes + 4096 } }, /image.chunks has/)
  })

  test('has an order that covers the image once', () => {
    const refusesOrder = (order: object[], why: RegExp): void =>
      refuses({ image: { ...good.image, order } }, why)
    const { bytes } = good.image
    refusesOrder([], /order ends at 0/)
    refusesOrder([{ offset: 1, bytes: bytes - 1 }], /does not cover the image at 0/)
    refusesOrder([{ offset: 0, bytes: bytes - 1 }], /order ends at/)
    refusesOrder([{ offset: 0, bytes: bytes + 1 }], /order ends at/)
    refusesOrder(
      [
        { offset: 0, bytes },
        { offset: 0, bytes },
      ],
      /does not cover/,
    )
    refusesOrder(
      [
        { offset: 0, bytes },
        { offset: bytes, bytes: 0 },
      ],
      /does not cover/,
    )
    refusesOrder(Array(4097).fill({ offset: 0, bytes: 1 }), /order/)
  })

  test('leaves the last chunk as short as the image is', () => {
    expect(chunkRange({ bytes: 10_000, chunkBytes: 4096 }, 1)).toEqual({ offset: 4096, bytes: 4096 })
    expect(chunkRange({ bytes: 10_000, chunkBytes: 4096 }, 2)).toEqual({ offset: 8192, bytes: 1808 })
  })
})
