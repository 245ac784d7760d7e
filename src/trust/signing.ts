import { type KeyObject, sign, verify } from 'node:crypto'
import type { BundleSignature } from '../bundle/signatures.ts'
import { blake3 } from '../core/digest.ts'
import { PineError } from '../core/error.ts'
import { type PublicKey, publicKeyObject, publicKeyOf } from './keys.ts'

/** What a signature is for: one that was made for anything else must not pass, even by the same key. */
export type SignedKind = 'bundle manifest' | 'key list'

/** The bytes that Ed25519 signs: what for, and the digest of it. Short, so that a key in a token or far away can sign. */
export function signedMessage(kind: SignedKind, bytes: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`pine-update ${kind} 1\0`, 'latin1'), blake3(bytes)])
}

export function signBytes(kind: SignedKind, bytes: Uint8Array, privateKey: KeyObject): BundleSignature {
  const signature = sign(null, signedMessage(kind, bytes), privateKey)
  return { keyId: publicKeyOf(privateKey).id, signature }
}

/** Raw keys, in hex, that signed: however often a key signs or is listed, it counts once. */
export function distinctSigners(
  kind: SignedKind,
  { bytes, signatures }: { bytes: Uint8Array; signatures: readonly BundleSignature[] },
  keys: readonly PublicKey[],
): Set<string> {
  const message = signedMessage(kind, bytes)
  const signers = new Set<string>()
  for (const { keyId, signature } of signatures) {
    for (const { id, raw } of keys) {
      if (id === keyId && verify(null, message, publicKeyObject(raw), signature))
        signers.add(raw.toString('hex'))
    }
  }
  return signers
}

/** The signatures with one more, made elsewhere; it takes the place of one by the same key. Throws `SIGNATURE_INVALID`. */
export function withSignature(
  kind: SignedKind,
  signed: { bytes: Uint8Array; signatures: readonly BundleSignature[] },
  { key, signature }: { key: PublicKey; signature: Buffer },
): BundleSignature[] {
  const added = { keyId: key.id, signature }
  if (distinctSigners(kind, { bytes: signed.bytes, signatures: [added] }, [key]).size === 0) {
    throw new PineError('SIGNATURE_INVALID', `this is not a signature of key ${key.id} over this ${kind}`, {
      hint: 'sign the file that "digest --out" writes, unhashed: openssl pkeyutl -sign -rawin -inkey KEY -in FILE -out SIGNATURE',
    })
  }
  return [...signed.signatures.filter(({ keyId }) => keyId !== key.id), added]
}
