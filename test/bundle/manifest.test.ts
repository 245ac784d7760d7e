import { beforeAll, describe, expect, test } from 'vitest'
import {
  chunkRange,
  decodeManifest,
  encodeManifest,
  type ImageManifest,
  type Variant,
} from '../../src/bundle/manifest.ts'
import { type Canonical, decodeCanonical, encodeCanonical } from '../../src/bundle/msgpack.ts'
import { sourceOf } from '../../src/bundle/source.ts'
import type { TreeManifest } from '../../src/bundle/tree-manifest.ts'
import { makeBundle, noise } from '../support/bundles.ts'

let good: ImageManifest
let delta: Variant
beforeAll(async () => {
  const target = noise(40_000)
  good = (await makeBundle({ target, bases: [noise(30_000, 2), undefined] })).manifest
  const [first] = good.variants
  if (!first) throw new Error('the sample needs a variant')
  delta = first
})

const COMMIT = {
  commit: 'c0'.repeat(32),
  ref: 'origin:web/x86_64/stable-1.x',
  timestamp: 1_700_000_000,
  subject: 'Größe "x" \u{1f600}, \\ and all',
  version: '41.20250101.0 (beta)',
}

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
    for (const source of [{ ostree: COMMIT }, { ostree: { commit: COMMIT.commit } }])
      expect(decodeManifest(encodeManifest({ ...good, source })).source).toEqual(source)
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

  test('says in a closed and short form which commit it was made of', () => {
    const refusesCommit = (change: object, why: RegExp): void =>
      refuses({ source: { ostree: { ...COMMIT, ...change } } }, why)
    const cut = Buffer.alloc(31)
    for (const commit of ['', cut.toString('hex'), 'c0'.repeat(33)])
      refusesCommit({ commit }, /source.ostree.commit: expected 32 bytes/)
    for (const ref of ['', 'a b', '/a', 'a/', 'a//b', '../a', 'a/..', '-a', ':a', 'a:', 'a:b:c', 'ä', 'a\n'])
      refusesCommit({ ref }, /source.ostree.ref: expected a ref/)
    refusesCommit({ ref: 'a'.repeat(256) }, /source.ostree.ref/)
    refusesCommit({ ref: null }, /source.ostree.ref/)
    for (const timestamp of ['2025-01-01', 253_402_300_800])
      refusesCommit({ timestamp }, /source.ostree.timestamp/)
    for (const text of ['', 'two\nlines', '\u001b[31m', '\u007f', '\u009b', 'two\u2028lines', 'a\0']) {
      refusesCommit({ subject: text }, /source.ostree.subject: expected one line/)
      refusesCommit({ version: text }, /source.ostree.version: expected one line/)
    }
    refusesCommit({ subject: 'a'.repeat(201) }, /source.ostree.subject/)
    refusesCommit({ version: 'a'.repeat(65) }, /source.ostree.version/)
    refusesCommit({ version: 1 }, /source.ostree.version/)
    refusesCommit({ body: 'all of it' }, /source.ostree.body/)
    const two = { ostree: { commit: Buffer.alloc(32) }, docker: 'web' }
    refusesRaw((raw) => Object.assign(raw, { source: two }), /source.docker/)
    refusesRaw((raw) => Object.assign(raw, { source: {} }), /source.ostree/)
    refusesRaw((raw) => Object.assign(raw, { source: null }), /source/)
    refusesRaw((raw) => Object.assign(raw, { source: { ostree: {} } }), /source.ostree.commit/)
    const text = { ostree: { commit: COMMIT.commit } }
    refusesRaw((raw) => Object.assign(raw, { source: text }), /source.ostree.commit/)
  })

  test('carries of a commit what fits', () => {
    const said = { ...COMMIT, ref: COMMIT.ref as string | undefined, version: COMMIT.version as unknown }
    expect(sourceOf(said)).toEqual({ ostree: COMMIT })
    const bare = { ostree: { commit: COMMIT.commit } }
    const none = { ref: undefined, timestamp: 2 ** 64, subject: ' \n', version: undefined }
    expect(sourceOf({ ...said, ...none })).toEqual(bare)
    expect(sourceOf({ ...said, ...none, ref: 'a'.repeat(256), version: 'a'.repeat(65) })).toEqual(bare)
    expect(sourceOf({ ...said, ...none, ref: 'größe', version: 2 })).toEqual(bare)
    const subjectOf = (subject: string): string | undefined => sourceOf({ ...said, subject }).ostree.subject
    expect(subjectOf('one\ttwo\u001b[31m three\n\nbody')).toBe('one two [31m three')
    expect(subjectOf('a'.repeat(300))).toBe('a'.repeat(200))
    expect(subjectOf(`${'a'.repeat(199)}\u{1f600}`)).toBe('a'.repeat(199))
    for (const subject of ['one\r\ntwo', '\u{1f600}'.repeat(150)]) {
      const source = sourceOf({ ...said, subject })
      expect(decodeManifest(encodeManifest({ ...good, source })).source).toEqual(source)
    }
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

describe('a manifest of a tree', () => {
  const digest = 'd1'.repeat(32)
  const variant = { newBytes: 8192, newInodes: 2, memoryBytes: 1, segments: [{ bytes: 10, digest }] }
  const tree: TreeManifest = {
    format: 1,
    compatible: 'test',
    version: '1.0',
    epoch: 0,
    created: 1,
    tree: { commit: 'c0'.repeat(32), bytes: 4096, inodes: 3, copyBytes: 0, copyInodes: 0 },
    variants: [{ ...variant, base: { commit: 'c1'.repeat(32), bytes: 4096, inodes: 3 } }, variant],
  }

  test('is read as it was written', () => {
    expect(decodeManifest(encodeManifest(tree))).toEqual(tree)
  })

  test.each<[string, Partial<TreeManifest>]>([
    ['of no bytes', { tree: { ...tree.tree, bytes: 0 } }],
    ['with a commit that is cut', { tree: { ...tree.tree, commit: 'c0' } }],
    ['without variants', { variants: [] }],
    ['with a delta of nothing', { variants: [{ ...variant, segments: [] }] }],
    [
      'with a segment above 16 MiB',
      { variants: [{ ...variant, segments: [{ bytes: 2 ** 24 + 1, digest }] }] },
    ],
    ['that expired before it was made', { expires: 1 }],
  ])('%s is refused', (_, change) => {
    const bytes = encodeManifest({ ...tree, ...change })
    expect(() => decodeManifest(bytes)).toThrow(expect.objectContaining({ code: 'BUNDLE_MALFORMED' }))
  })

  test('that is also of an image is refused', () => {
    const raw = decodeCanonical(encodeManifest(tree)) as Record<string, Canonical>
    const image = (decodeCanonical(encodeManifest(good)) as Record<string, Canonical>).image
    const bytes = encodeCanonical({ ...raw, ...(image !== undefined && { image }) })
    expect(() => decodeManifest(bytes)).toThrow(expect.objectContaining({ code: 'BUNDLE_MALFORMED' }))
  })
})
