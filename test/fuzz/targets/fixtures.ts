import { createPrivateKey, type KeyObject } from 'node:crypto'
import type { ChangeList } from '../../../src/bundle/changes.ts'
import { encodeKeyLists } from '../../../src/bundle/key-list.ts'
import { encodeManifest } from '../../../src/bundle/manifest.ts'
import type { BundleSignature } from '../../../src/bundle/signatures.ts'
import { sourceOf } from '../../../src/bundle/source.ts'
import { encodeStart } from '../../../src/bundle/writer.ts'
import { nameOf } from '../../../src/core/file-name.ts'
import { appendList, signLast } from '../../../src/trust/key-chain.ts'
import { type GeneratedKey, type PublicKey, publicKeyOf } from '../../../src/trust/keys.ts'
import { signManifest } from '../../../src/trust/verify.ts'
import { type MadeBundle, makeBundle, noise } from '../../support/bundles.ts'

export interface FixedKey extends GeneratedKey {
  readonly privateKey: KeyObject
}

// RFC 8410, section 7: what stands before the 32 bytes of an Ed25519 private key.
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')

/** The same key in every run. */
function fixedKey(name: string): FixedKey {
  const der = Buffer.concat([PKCS8_PREFIX, Buffer.alloc(32, name)])
  const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  const privatePem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  return { privateKey, privatePem, publicKey: publicKeyOf(privateKey, name) }
}

/** The host trusts the first three and wants two of them; nobody trusts eve. */
export const [alice, bob, carol, eve] = ['alice', 'bob', 'carol', 'eve'].map(fixedKey) as [
  FixedKey,
  FixedKey,
  FixedKey,
  FixedKey,
]
export const TRUSTED: readonly PublicKey[] = [alice, bob, carol].map(({ publicKey }) => publicKey)
export const THRESHOLD = 2

/** Three of four parts are the same. */
export const BASE = noise(14_000, 1)
export const IMAGE = Buffer.concat([
  BASE.subarray(0, 5000),
  noise(3000, 2),
  BASE.subarray(6000),
  Buffer.alloc(2000),
])

export const KEY_LISTS = encodeKeyLists(
  signLast(
    appendList([], {
      ...{ created: 1_700_000_000, expires: undefined },
      root: { keys: TRUSTED, threshold: 2 },
      release: { keys: TRUSTED, threshold: 2 },
    }),
    [alice.privateKey, bob.privateKey],
  ),
)

const owned = { mode: 0o644, uid: 0, gid: 0 }
const link = { ...owned, type: 'symlink' } as const
const oldFile = { ...owned, type: 'file', bytes: 3 } as const

/** Every kind of entry. */
export const CHANGES: ChangeList = {
  packages: [
    { database: 'apk', name: 'musl', old: '1.2.4-r0', new: '1.2.5-r0' },
    { database: 'dpkg', name: 'gone', old: '1:2~rc1-3' },
  ],
  files: [
    { path: 'dev/null', new: { ...owned, type: 'character', device: 259 }, content: false },
    { path: 'etc/a', old: oldFile, new: { ...oldFile, bytes: 2 ** 40 }, content: true },
    { path: 'etc/b', old: oldFile, content: false },
    {
      path: nameOf(Buffer.of(0x65, 0xff)),
      old: { ...link, target: nameOf(Buffer.of(0xfe)) },
      new: { ...link, target: 'x' },
      content: false,
    },
  ],
  omitted: 4,
  unread: 1,
}

export interface SampleBundle {
  readonly made: MadeBundle
  readonly manifestBytes: Buffer
  readonly signatures: readonly BundleSignature[]
  readonly bytes: Buffer
}

/** Full and delta, one variant and two, with a kernel, an order, an end, key lists and a source; all make `IMAGE`. */
export async function sampleBundles(): Promise<SampleBundle[]> {
  const kernel = { linux: '/boot/vmlinuz', initrd: '/boot/initrd.img' }
  const source = sourceOf({
    ...{ commit: 'c0'.repeat(32), ref: 'origin:web/stable', timestamp: 1_700_000_000 },
    ...{ subject: 'the second', version: '2.0' },
  })
  const made = [
    await makeBundle({ target: IMAGE }),
    await makeBundle({ target: IMAGE, base: BASE, manifest: { epoch: 3, expires: 1_800_000_000 } }),
    await makeBundle({ target: IMAGE, bases: [BASE, undefined], manifest: { kernel } }),
    await makeBundle({ target: IMAGE, bases: [BASE, undefined], lists: [CHANGES], manifest: { source } }),
  ]
  return made.map((bundle, index) => sampleOf(bundle, index === 2 ? KEY_LISTS : Buffer.alloc(0)))
}

function sampleOf(made: MadeBundle, keyLists: Buffer): SampleBundle {
  const manifestBytes = encodeManifest(made.manifest)
  const signatures = [alice, bob, eve].map(({ privateKey }) => signManifest(manifestBytes, privateKey))
  const bytes = Buffer.concat([encodeStart(manifestBytes, signatures, keyLists), ...made.payload])
  return { made, manifestBytes, signatures, bytes }
}
