import { PineError } from '../core/error.ts'

/** An Ed25519 signature over the manifest bytes and the id of the key that made it. */
export interface BundleSignature {
  /** 16 lower-case hex digits. */
  readonly keyId: string
  /** 64 bytes. */
  readonly signature: Uint8Array
}

const KEY_ID_BYTES = 8
const SIGNATURE_BYTES = 64
const RECORD_BYTES = KEY_ID_BYTES + SIGNATURE_BYTES

export function signaturesBytes(count: number): number {
  return count * RECORD_BYTES
}

/** Fixed records, so that nothing is parsed from bytes that no signature covers. Ordered by key id. */
export function encodeSignatures(signatures: readonly BundleSignature[]): Buffer {
  const ordered = [...signatures].sort((x, y) => (x.keyId < y.keyId ? -1 : x.keyId > y.keyId ? 1 : 0))
  return Buffer.concat(ordered.map(encodeRecord))
}

function encodeRecord({ keyId, signature }: BundleSignature): Buffer {
  const record = Buffer.concat([Buffer.from(keyId, 'hex'), signature])
  if (record.length === RECORD_BYTES && signature.length === SIGNATURE_BYTES) return record
  throw new PineError(
    'BUNDLE_MALFORMED',
    `a signature has ${signature.length} bytes and key id "${keyId}", expected ${SIGNATURE_BYTES} bytes and 16 hex digits`,
  )
}

/** `bytes` holds whole records: its length comes from the header. */
export function decodeSignatures(bytes: Buffer): BundleSignature[] {
  return Array.from({ length: bytes.length / RECORD_BYTES }, (_, index) => {
    const record = bytes.subarray(index * RECORD_BYTES, (index + 1) * RECORD_BYTES)
    return { keyId: record.toString('hex', 0, KEY_ID_BYTES), signature: record.subarray(KEY_ID_BYTES) }
  })
}
