import type { ImageManifest, Variant } from '../../src/bundle/manifest.ts'
import { encodeCanonical } from '../../src/bundle/msgpack.ts'
import { type Row, signedJunk, signedWith } from './row.ts'

const KiB = 1024
const code = 'BUNDLE_MALFORMED'

function inVariant(change: (variant: Variant) => Record<string, unknown>) {
  return signedWith(({ variants }) => ({ variants: variants.map((one) => ({ ...one, ...change(one) })) }))
}

function inImage(change: (image: ImageManifest['image']) => Record<string, unknown>) {
  return signedWith(({ image }) => ({ image: { ...image, ...change(image) } }))
}

function inCommit(change: Record<string, unknown>) {
  return signedWith(() => ({ source: { ostree: { commit: 'c0'.repeat(32), ...change } } }))
}

/** Nonsense with a right signature: a CI that went wrong must not take the servers with it. */
export const BAD_MANIFESTS: readonly Row[] = [
  { input: 'a manifest that is not MessagePack', code, make: signedJunk(() => Buffer.from([0xc1])) },
  { input: 'a manifest that ends early', code, make: signedJunk(() => Buffer.from([0x81, 0xa1])) },
  { input: 'bytes after the manifest', code, make: signedJunk(() => Buffer.from([0x80, 0x00])) },
  { input: 'a list in place of the manifest', code, make: signedJunk(() => encodeCanonical([1, 2])) },
  {
    input: 'a map key given twice',
    code,
    make: signedJunk(() => Buffer.from([0x82, 0xa1, 0x61, 0x01, 0xa1, 0x61, 0x02])),
  },
  {
    input: 'map keys out of order',
    code,
    make: signedJunk(() => Buffer.from([0x82, 0xa1, 0x62, 0x01, 0xa1, 0x61, 0x02])),
  },
  {
    input: 'a number in a longer form than needed',
    code,
    make: signedJunk(() => Buffer.from([0x81, 0xa1, 0x61, 0xcc, 0x01])),
  },
  { input: 'a negative number', code, make: signedJunk(() => Buffer.from([0x81, 0xa1, 0x61, 0xff])) },
  {
    input: 'a number with a fraction',
    code,
    make: signedJunk(() => Buffer.from([0x81, 0xa1, 0x61, 0xca, 0, 0, 0, 0])),
  },
  {
    input: 'lists in lists without end',
    code,
    make: signedJunk(() => Buffer.concat([Buffer.alloc(5000, 0x91), Buffer.from([0])])),
  },
  {
    input: 'a map of 4 billion entries',
    code,
    make: signedJunk(() => Buffer.from([0xdf, 0xff, 0xff, 0xff, 0xff])),
  },
  { input: 'a field that is not known', code, make: signedWith(() => ({ surprise: 1 })) },
  { input: 'a field that is missing', code, make: signedJunk(() => encodeCanonical({ format: 1 })) },
  { input: 'a format other than the header\u2019s', code, make: signedWith(() => ({ format: 2 })) },
  { input: 'a kind of host with a slash', code, make: signedWith(() => ({ compatible: '../web' })) },
  { input: 'a version that cannot be ordered', code, make: signedWith(() => ({ version: 'latest' })) },
  { input: 'a version of 10,000 digits', code, make: signedWith(() => ({ version: '1'.repeat(4000) })) },
  { input: 'an epoch in words', code, make: signedWith(() => ({ epoch: 'one' })) },
  { input: 'expired before it was made', code, make: signedWith(({ created }) => ({ expires: created })) },
  { input: 'an image of no bytes', code, make: inImage(() => ({ bytes: 0 })) },
  { input: 'an image of 2^53 bytes', code, make: inImage(() => ({ bytes: Number.MAX_SAFE_INTEGER })) },
  {
    input: 'an image longer than its chunks',
    code,
    make: inImage(({ bytes }) => ({ bytes: bytes + 1024 * KiB })),
  },
  {
    input: 'a digest that is cut',
    code,
    make: inImage(() => ({ digest: Buffer.alloc(31).toString('hex') })),
  },
  { input: 'an empty digest', code, make: inImage(() => ({ digest: '' })) },
  { input: 'a chunk digest too few', code, make: inImage(({ chunks }) => ({ chunks: chunks.subarray(32) })) },
  { input: 'chunks of 3000 bytes', code, make: inImage(() => ({ chunkBytes: 3000 })) },
  { input: 'chunks of 1 GiB', code, make: inImage(() => ({ chunkBytes: 2 ** 30 })) },
  { input: 'a file system nobody knows', code, make: inImage(() => ({ fs: 'ntfs' })) },
  {
    input: 'an order with a gap',
    code,
    make: inImage(({ bytes }) => ({ order: [{ offset: 1, bytes: bytes - 1 }] })),
  },
  {
    input: 'an order that has bytes twice',
    code,
    make: inImage(({ bytes }) => ({
      order: [
        { offset: 0, bytes },
        { offset: 0, bytes },
      ],
    })),
  },
  { input: 'no way to make the image', code, make: signedWith(() => ({ variants: [] })) },
  {
    input: '17 ways to make the image',
    code,
    make: signedWith(({ variants }) => ({ variants: Array(17).fill(variants[0]) })),
  },
  {
    input: 'more program than segments',
    code,
    make: inVariant(({ segments }) => ({ programSegments: segments.length + 1 })),
  },
  { input: 'no program', code, make: inVariant(() => ({ programSegments: 0 })) },
  { input: 'a window of 1 GiB', code, make: inVariant(() => ({ windowBytes: 2 ** 30 })) },
  { input: 'a packing nobody knows', code, make: inVariant(() => ({ packing: 'brotli' })) },
  {
    input: 'a segment that unpacks to 1 GiB',
    code,
    make: inVariant(({ segments }) => ({ segments: segments.map((one) => ({ ...one, rawBytes: 2 ** 30 })) })),
  },
  {
    input: 'a codec named twice',
    code,
    make: inVariant(() => ({ codecs: [{ name: 'xz' }, { name: 'xz' }] })),
  },
  {
    input: 'a kernel path that climbs out',
    code,
    make: signedWith(() => ({ kernel: { linux: '/boot/../../x', initrd: '/i' } })),
  },
  { input: 'a commit whose id is cut', code, make: inCommit({ commit: 'c0' }) },
  { input: 'a commit with a field nobody knows', code, make: inCommit({ script: '/bin/sh' }) },
  { input: 'a ref that climbs out', code, make: inCommit({ ref: '../../etc' }) },
  { input: 'a subject that writes to the terminal', code, make: inCommit({ subject: '\u001b]0;x\u0007' }) },
  { input: 'a subject of 4000 characters', code, make: inCommit({ subject: 'a'.repeat(4000) }) },
  { input: 'a commit whose version is no text', code, make: inCommit({ version: ['1.0'] }) },
  {
    input: 'a codec that this host lacks',
    code: 'BUNDLE_TOO_NEW',
    make: inVariant(() => ({ codecs: [{ name: 'brotli' }] })),
  },
  {
    input: 'a codec of another version',
    code: 'CODEC_MISMATCH',
    make: inVariant(() => ({ codecs: [{ name: 'xz', version: '5.0.0-00000000' }] })),
  },
  {
    input: 'more memory than there is',
    code: 'MEMORY_TOO_SMALL',
    make: inVariant(() => ({ memoryBytes: 2 ** 50 })),
  },
  { input: 'more memory than it says', code, make: inVariant(() => ({ memoryBytes: 1 })), late: true },
  {
    input: 'segments that unpack to more than they say',
    code,
    make: inVariant(({ segments }) => ({ segments: segments.map((one) => ({ ...one, rawBytes: 1 })) })),
    late: true,
  },
  {
    input: 'segments that unpack to less than they say',
    code,
    make: inVariant(({ segments }) => ({
      segments: segments.map((one) => ({ ...one, rawBytes: one.rawBytes + 1 })),
    })),
    late: true,
  },
  {
    input: 'segments in another order',
    code: 'BUNDLE_CORRUPT',
    make: inVariant(({ segments }) => ({ segments: [...segments].reverse() })),
    late: true,
  },
]
