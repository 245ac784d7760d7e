import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import { encodeManifest } from '../../src/bundle/manifest.ts'
import { parsePrivateKey } from '../../src/trust/keys.ts'
import { signBytes } from '../../src/trust/signing.ts'
import { makeBundle, noise, ON_DISK } from '../support/cli.ts'
import { APPLY, changed, flipped, type Row, resigned, signedJunk, withUInt32 } from './row.ts'

const TREE = { bytes: 1, inodes: 1, copyBytes: 0, copyInodes: 0 }
const DELTA = { newBytes: 1, newInodes: 1, memoryBytes: 1, segments: [{ bytes: 1, digest: '00'.repeat(32) }] }

/** Damage and forgery: files that no key of the host has signed as they are. */
export const BAD_BUNDLES: readonly Row[] = [
  { input: 'a bundle that is not there', code: 'FILE_NOT_FOUND', make: () => APPLY },
  { input: 'an empty file', code: 'BUNDLE_TRUNCATED', make: changed(() => Buffer.alloc(0)) },
  { input: 'text', code: 'BUNDLE_MALFORMED', make: changed(() => Buffer.from('hello, I am an update\n')) },
  { input: 'a bundle in gzip', code: 'BUNDLE_MALFORMED', make: changed((bytes) => gzipSync(bytes)) },
  {
    input: 'a folder in place of a bundle',
    code: 'IO_FAILED',
    make: (shop) => {
      mkdirSync(shop.path('2.0.bundle'))
      return APPLY
    },
  },
  {
    input: 'an image in place of a bundle',
    code: 'BUNDLE_MALFORMED',
    make: () => `apply @2.0.img ${ON_DISK}`,
  },
  { input: 'cut in the header', code: 'BUNDLE_TRUNCATED', make: changed((bytes) => bytes.subarray(0, 23)) },
  { input: 'cut in the manifest', code: 'BUNDLE_TRUNCATED', make: changed((bytes) => bytes.subarray(0, 60)) },
  {
    input: 'cut in the signatures',
    code: 'BUNDLE_TRUNCATED',
    make: changed((bytes, { signatures }) => bytes.subarray(0, signatures + 71)),
  },
  {
    input: 'cut in the program',
    code: 'BUNDLE_TRUNCATED',
    make: changed((bytes, { segments }) => bytes.subarray(0, (segments[0] ?? 0) + 1)),
    late: true,
  },
  {
    input: 'cut before the last byte',
    code: 'BUNDLE_TRUNCATED',
    make: changed((bytes) => bytes.subarray(0, -1)),
    late: true,
  },
  {
    input: 'a byte after the end',
    code: 'BUNDLE_MALFORMED',
    make: changed((bytes) => Buffer.concat([bytes, Buffer.alloc(1)])),
    late: true,
  },
  { input: 'magic changed', code: 'BUNDLE_MALFORMED', make: changed((bytes) => flipped(bytes, 3)) },
  { input: 'a later format', code: 'BUNDLE_TOO_NEW', make: changed((bytes) => withUInt32(bytes, 8, 2)) },
  {
    input: 'manifest of 4 GiB',
    code: 'BUNDLE_MALFORMED',
    make: changed((bytes) => withUInt32(bytes, 12, 2 ** 32 - 1)),
  },
  {
    input: 'manifest of no bytes',
    code: 'BUNDLE_MALFORMED',
    make: changed((bytes) => withUInt32(bytes, 12, 0)),
  },
  { input: '17 signatures', code: 'BUNDLE_MALFORMED', make: changed((bytes) => withUInt32(bytes, 16, 17)) },
  {
    input: 'key lists of 4 GiB',
    code: 'BUNDLE_MALFORMED',
    make: changed((bytes) => withUInt32(bytes, 20, 2 ** 32 - 1)),
  },
  {
    input: 'segments read as key lists',
    code: 'KEY_LIST_INVALID',
    make: changed((bytes) => withUInt32(bytes, 20, 64)),
  },
  {
    input: 'a manifest shorter than it was signed',
    code: 'BUNDLE_UNTRUSTED',
    make: changed((bytes) => withUInt32(bytes, 12, bytes.readUInt32LE(12) - 1)),
  },
  {
    input: 'a bit of the manifest changed',
    code: 'BUNDLE_UNTRUSTED',
    make: changed((bytes, { manifest }) => flipped(bytes, manifest + 40)),
  },
  {
    input: 'a bit of the signature changed',
    code: 'BUNDLE_UNTRUSTED',
    make: changed((bytes, { signatures }) => flipped(bytes, signatures + 30)),
  },
  {
    input: 'a bit of the program changed',
    code: 'BUNDLE_CORRUPT',
    make: changed((bytes, { segments }) => flipped(bytes, (segments[0] ?? 0) + 10)),
    late: true,
  },
  {
    input: 'a bit of the data changed',
    code: 'BUNDLE_CORRUPT',
    make: changed((bytes) => flipped(bytes, bytes.length - 1)),
    late: true,
  },
  {
    input: 'the segments of another bundle',
    code: 'BUNDLE_CORRUPT',
    make: async (shop) => {
      await makeBundle(shop, '3.0')
      const other = readFileSync(shop.path('3.0.bundle'))
      return changed((bytes, { segments }) => {
        const rest = other.subarray(other.length - (bytes.length - (segments[0] ?? 0)))
        return Buffer.concat([bytes.subarray(0, segments[0]), rest])
      })(shop)
    },
    late: true,
  },
  { input: 'no signature', code: 'BUNDLE_UNSIGNED', make: resigned(() => []) },
  { input: 'made with --unsigned', code: 'BUNDLE_UNSIGNED', make: changed((bytes) => bytes, '--unsigned') },
  {
    input: 'signed by a stranger',
    code: 'BUNDLE_UNTRUSTED',
    make: async (shop) => {
      await shop.ok('key generate --out @eve')
      return changed((bytes) => bytes, '--key @eve.key')(shop)
    },
  },
  {
    input: 'signed by a stranger under the name of a trusted key',
    code: 'BUNDLE_UNTRUSTED',
    make: async (shop) => {
      await shop.ok('key generate --out @eve')
      const trusted = readFileSync(shop.path('keys/ci.pub'), 'utf8').split(' ')[1] ?? ''
      return resigned((records) => records.map((one) => ({ ...one, keyId: trusted })), '--key @eve.key')(shop)
    },
  },
  {
    input: 'signed twice by one key where two keys must',
    code: 'BUNDLE_UNTRUSTED',
    make: async (shop) => {
      const config = readFileSync(shop.path('host.toml'), 'utf8')
      writeFileSync(shop.path('host.toml'), `threshold = 2\n${config}`)
      return resigned((records) => [...records, ...records])(shop)
    },
  },
  {
    input: 'a signature that was made for a key list',
    code: 'BUNDLE_UNTRUSTED',
    make: async (shop) => {
      let manifest: Buffer = Buffer.alloc(0)
      await changed((bytes, parts) => {
        manifest = Buffer.from(bytes.subarray(parts.manifest, parts.signatures))
        return bytes
      })(shop)
      const key = parsePrivateKey(readFileSync(shop.path('keys/ci.key'), 'utf8'))
      return resigned(() => [signBytes('key list', manifest, key)])(shop)
    },
  },
  {
    input: 'a signature of zeros',
    code: 'BUNDLE_UNTRUSTED',
    make: resigned((records) => records.map((one) => ({ ...one, signature: Buffer.alloc(64) }))),
  },
  {
    input: 'the signature of another release',
    code: 'BUNDLE_UNTRUSTED',
    make: async (shop) => {
      await makeBundle(shop, '3.0')
      const other = readFileSync(shop.path('3.0.bundle'))
      const at = 24 + other.readUInt32LE(12) + 8
      return resigned((records) =>
        records.map((one) => ({ ...one, signature: other.subarray(at, at + 64) })),
      )(shop)
    },
  },
]

/** Right signatures on what this host must not take. */
export const REFUSED_BUNDLES: readonly Row[] = [
  {
    input: 'for another kind of host',
    code: 'COMPATIBLE_MISMATCH',
    make: changed((bytes) => bytes, '--compatible other'),
  },
  {
    input: 'of an OSTree tree, for slots that hold images',
    code: 'BUNDLE_KIND_MISMATCH',
    make: signedJunk(({ image, variants: _, ...manifest }) =>
      encodeManifest({ ...manifest, tree: { ...TREE, commit: image.digest }, variants: [DELTA] }),
    ),
  },
  { input: 'an older version', code: 'DOWNGRADE_REFUSED', make: changed((bytes) => bytes, '--release 0.9') },
  {
    input: 'a preview of the version that runs',
    code: 'DOWNGRADE_REFUSED',
    make: changed((bytes) => bytes, '--release 1.0-rc1'),
  },
  {
    input: 'an older epoch than was confirmed',
    code: 'DOWNGRADE_REFUSED',
    make: async (shop) => {
      await makeBundle(shop, '3.0', { more: '--epoch 5' })
      await shop.ok(`apply @3.0.bundle ${ON_DISK}`)
      await shop.boot()
      await shop.ok(`confirm ${ON_DISK}`)
      return changed((bytes) => bytes, '--release 4.0 --epoch 4')(shop)
    },
  },
  {
    input: 'past its date',
    code: 'BUNDLE_EXPIRED',
    make: async (shop) => {
      process.env.SOURCE_DATE_EPOCH = '1500000000'
      const line = await changed((bytes) => bytes, '--expires 2020-01-01T00:00:00Z')(shop)
      delete process.env.SOURCE_DATE_EPOCH
      return line
    },
  },
  {
    input: 'rejected here before',
    code: 'REJECTED_BEFORE',
    make: async (shop) => {
      const line = await changed((bytes) => bytes)(shop)
      await shop.ok(line)
      await shop.ok(`reject ${ON_DISK}`)
      return line
    },
  },
  {
    input: 'an image larger than the slot',
    code: 'IMAGE_TOO_BIG',
    make: async (shop) => {
      mkdirSync(shop.path('tree-big'))
      writeFileSync(shop.path('tree-big/big'), noise(6 * 1024 * 1024, 9))
      await shop.ok('image build --tree @tree-big --out @big.img')
      renameSync(shop.path('big.img'), shop.path('2.0.img'))
      return changed((bytes) => bytes)(shop)
    },
  },
  {
    input: 'an image that the loader cannot read',
    code: 'IMAGE_UNBOOTABLE',
    make: async (shop) => {
      await shop.ok('image build --tree @tree-2.0 --fs erofs --out @erofs.img')
      renameSync(shop.path('erofs.img'), shop.path('2.0.img'))
      return changed((bytes) => bytes)(shop)
    },
  },
  {
    input: 'made from an image that does not run here',
    code: 'BASE_MISMATCH',
    make: async (shop) => {
      await makeBundle(shop, '2.0', { from: '3.0' })
      return APPLY
    },
  },
  {
    input: 'made from what the records say, when the slot holds something else',
    code: 'BASE_MISMATCH',
    make: async (shop) => {
      await makeBundle(shop, '2.0', { from: '1.0' })
      writeFileSync(
        shop.path('host.img'),
        flipped(readFileSync(shop.path('host.img')), 4 * 1024 * 1024 + 4321),
      )
      return APPLY
    },
  },
  {
    input: 'while the running release is on trial',
    code: 'TRIAL_PENDING',
    make: async (shop) => {
      await makeBundle(shop, '3.0')
      await shop.ok(`apply @3.0.bundle ${ON_DISK}`)
      await shop.boot()
      return changed((bytes) => bytes, '--release 4.0')(shop)
    },
  },
]
