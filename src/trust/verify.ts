import type { KeyObject } from 'node:crypto'
import { decodeManifest, type Manifest } from '../bundle/manifest.ts'
import type { OpenedBundle } from '../bundle/reader.ts'
import type { BundleSignature } from '../bundle/signatures.ts'
import { PineError } from '../core/error.ts'
import type { PublicKey } from './keys.ts'
import { distinctSigners, signBytes } from './signing.ts'

declare const verified: unique symbol
/** Something whose signatures were checked. Only this file makes it; planners accept nothing else. */
export type Verified<T> = T & { readonly [verified]: true }

export interface VerifyOptions {
  /** How many different keys must have signed. Default 1. */
  threshold?: number
}

/** Signs the exact bytes of a manifest. */
export function signManifest(manifestBytes: Uint8Array, privateKey: KeyObject): BundleSignature {
  return signBytes('bundle manifest', manifestBytes, privateKey)
}

/**
 * Checks the signatures over the bytes as they arrived, and only then decodes them.
 * Throws `KEYRING_EMPTY`, `BUNDLE_UNSIGNED`, `BUNDLE_UNTRUSTED`, `BUNDLE_MALFORMED`.
 */
export function verifyManifest(
  { manifestBytes, signatures }: Pick<OpenedBundle, 'manifestBytes' | 'signatures'>,
  keys: readonly PublicKey[],
  { threshold = 1 }: VerifyOptions = {},
): Verified<Manifest> {
  if (!Number.isInteger(threshold) || threshold < 1)
    throw new Error(`threshold ${threshold} would accept anything`)
  if (keys.length === 0) {
    throw new PineError('KEYRING_EMPTY', 'this host trusts no key', {
      hint: 'put a public key into its keyring',
    })
  }
  if (signatures.length === 0) {
    throw new PineError('BUNDLE_UNSIGNED', 'the bundle carries no signature', {
      hint: 'sign it: "bundle create --key", or "bundle digest" and "bundle attach"',
    })
  }
  const signers = distinctSigners('bundle manifest', { bytes: manifestBytes, signatures }, keys)
  if (signers.size < threshold) throw untrusted(signatures, { found: signers.size, threshold })
  return decodeManifest(manifestBytes) as Verified<Manifest>
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
