import { beforeAll, describe, expect, test } from 'vitest'
import { chunkRange, decodeManifest, encodeManifest, type Manifest } from '../../src/bundle/manifest.ts'
import { type Canonical, decodeCanonical, encodeCanonical } from '../../src/bundle/msgpack.ts'
import { makeBundle, noise } from '../support/bundles.ts'

let good: Manifest
beforeAll(async () => {
  const target = noise(40_000)
  good = (await makeBundle({ target, base: noise(30_000, 2) })).manifest
})

function refuses(change: object, why: RegExp): void {
  const bytes = encodeManifest({ ...good, ...change })
  expect(() => decodeManifest(bytes)).toThrow(
    expect.objectContaining({ code: 'BUNDLE_MALFORMED', message: expect.stringMatching(why) }),
  )
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
    const full = {
      ...good,
      expires: 1_800_000_000,
      kernel: { linux: '/boot/vmlinuz', initrd: '/boot/initrd.img' },
    }
    expect(decodeManifest(encodeManifest(full))).toEqual(full)
    expect(decodeManifest(encodeManifest(good))).toEqual(good)
  })

  test('can be of an image above 4 GiB', () => {
    const bytes = 5 * 1024 ** 3 + 512
    const chunks = Buffer.alloc(5121 * 32, 7)
    const [first] = good.segments
    if (!first) throw new Error('the sample needs a segment')
    const image = { ...good.image, bytes, chunkBytes: 1024 ** 2, chunks }
    const large = { ...good, image, segments: [{ ...first, chunks: 5121 }] }
    expect(decodeManifest(encodeManifest(large))).toEqual(large)
  })

  test('is closed: an unknown, missing or empty field is an error', () => {
    refusesRaw((raw) => Object.assign(raw, { hooks: ['/bin/sh'] }), /hooks/)
    refusesRaw((raw) => Object.assign(raw.image as object, { path: '/dev/sda' }), /image.path/)
    refusesRaw((raw) => delete raw.epoch, /epoch/)
    refusesRaw((raw) => Object.assign(raw, { expires: null }), /expires/)
    refusesRaw((raw) => Object.assign(raw, { bases: null }), /bases/)
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
    refuses({ bases: [...good.bases, ...good.bases] }, /bases/)
    refuses({ codecs: [{ name: 'zstd' }, { name: 'zstd' }] }, /twice/)
    for (const linux of ['boot/vmlinuz', '/boot/../x', '/', '//x', '/a/.', '/a b']) {
      refuses({ kernel: { linux, initrd: '/i' } }, /kernel.linux/)
    }
    refuses({ expires: good.created }, /expires/)
  })

  test('has segments that cover the chunks once, in order', () => {
    const [first, ...rest] = good.segments
    if (!first || rest.length === 0) throw new Error('the sample needs two segments')
    refuses({ segments: rest }, /starts at chunk/)
    refuses({ segments: [first] }, /segments end at chunk/)
    refuses({ segments: [] }, /segments end at chunk/)
    refuses({ segments: [first, first, ...rest] }, /starts at chunk/)
    refuses({ segments: [...rest, first] }, /starts at chunk/)
    refuses({ segments: [{ ...first, chunks: 0 }, ...rest] }, /chunks/)
    refuses({ segments: [{ ...first, bytes: 0 }, ...rest] }, /bytes/)
    refuses({ segments: [{ ...first, rawBytes: 2 ** 24 + 1 }, ...rest] }, /rawBytes/)
    refuses({ image: { ...good.image, chunks: good.image.chunks.subarray(1) } }, /image.chunks has/)
    refuses({ image: { ...good.image, bytes: good.image.bytes + 4096 } }, /image.chunks has/)
  })

  test('leaves the last chunk as short as the image is', () => {
    expect(chunkRange({ bytes: 10_000, chunkBytes: 4096 }, 1)).toEqual({ offset: 4096, bytes: 4096 })
    expect(chunkRange({ bytes: 10_000, chunkBytes: 4096 }, 2)).toEqual({ offset: 8192, bytes: 1808 })
  })
})
