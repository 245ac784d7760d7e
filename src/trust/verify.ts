import { type KeyObject, sign, verify } from 'node:crypto'
import { decodeManifest, type Manifest } from '../bundle/manifest.ts'
import type { OpenedBundle } from '../bundle/reader.ts'
import type { BundleSignature } from '../bundle/signatures.ts'
import { PineError } from '../core/error.ts'
import { type PublicKey, publicKeyObject, publicKeyOf } from './keys.ts'

declare const verified: unique symbol
/** Something whose signatures were checked. Only this file makes it; planners accept nothing else. */
export type Verified<T> = T & { readonly [verified]: true }

export interface VerifyOptions {
  /** How many different keys must have signed. Default 1. */
  threshold?: number
}

// A signature made for anything else must not pass as one of a bundle, even by the same key.
const DOMAIN = Buffer.from('pine-update bundle manifest 1\0', 'latin1')

/** Signs the exact bytes of a manifest. */
export function signManifest(manifestBytes: Uint8Array, privateKey: KeyObject): BundleSignature {
  const signature = sign(null, Buffer.concat([DOMAIN, manifestBytes]), privateKey)
  return { keyId: publicKeyOf(privateKey).id, signature }
}

/**
 * Checks the signatures over the bytes as they arrived, and only then decodes them.
 * Throws `KEYRING_EMPTY`, `BUNDLE_UNSIGNED`, `BUNDLE_UNTRUSTED`, `BUNDLE_MALFORMED`.
 */
export function verifyManifest(
  opened: Pick<OpenedBundle, 'manifestBytes' | 'signatures'>,
  keyring: readonly PublicKey[],
  { threshold = 1 }: VerifyOptions = {},
): Verified<Manifest> {
  if (!Number.isInteger(threshold) || threshold < 1)
    throw new Error(`threshold ${threshold} would accept anything`)
  if (keyring.length === 0) {
    throw new PineError('KEYRING_EMPTY', 'this host trusts no key', {
      hint: 'put a public key into its keyring',
    })
  }
  if (opened.signatures.length === 0)
    throw new PineError('BUNDLE_UNSIGNED', 'the bundle carries no signature')
  const signers = distinctSigners(opened, keyring)
  if (signers.size < threshold) throw untrusted(opened.signatures, { found: signers.size, threshold })
  return decodeManifest(opened.manifestBytes) as Verified<Manifest>
}

/** Raw keys, in hex, that signed: however often a key signs or is listed, it counts once. */
function distinctSigners(
  { manifestBytes, signatures }: Pick<OpenedBundle, 'manifestBytes' | 'signatures'>,
  keyring: readonly PublicKey[],
): Set<string> {
  const message = Buffer.concat([DOMAIN, manifestBytes])
  const signers = new Set<string>()
  for (const { keyId, signature } of signatures) {
    for (const { id, raw } of keyring) {
      if (id === keyId && verify(null, message, publicKeyObject(raw), signature))
        signers.add(raw.toString('hex'))
    }
  }
  return signers
}

function untrusted(
  signatures: readonly BundleSignature[],
  { found, threshold }: { found: number; threshold: number },
): PineError {
  const ids = [...new Set(signatures.map(({ keyId }) => keyId))].join(', ')
  return new PineError(
    'BUNDLE_UNTRUSTED',
    `${threshold} trusted ${threshold === 1 ? 'key' : 'keys'} must have signed the bundle, ${found} did (it names ${ids})`,
    { hint: 'sign it with a key of this host, or add the key to its keyring' },
  )
}
