import { PineError } from '../core/error.ts'

/** docs/bundle-format.md describes every byte of this. */
export const FORMAT_VERSION = 1
export const HEADER_BYTES = 24
/** Enough for images of about 250 GiB; a lying header cannot make us reserve more. */
export const MAX_MANIFEST_BYTES = 8 * 1024 * 1024

const MAGIC = Buffer.from('PINEBNDL', 'latin1')

/** The fixed start of a bundle: all that is read before the signature is checked. */
export interface BundleHeader {
  readonly format: number
  readonly manifestBytes: number
  readonly signatureCount: number
  /** Of the key lists that come with the bundle; 0 where it carries none. */
  readonly keyListBytes: number
}

export const MAX_SIGNATURES = 16
export const MAX_KEY_LIST_BYTES = 256 * 1024

export function encodeHeader(header: BundleHeader): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES)
  MAGIC.copy(bytes)
  bytes.writeUInt32LE(header.format, 8)
  bytes.writeUInt32LE(header.manifestBytes, 12)
  bytes.writeUInt32LE(header.signatureCount, 16)
  bytes.writeUInt32LE(header.keyListBytes, 20)
  return bytes
}

/** Throws `BUNDLE_MALFORMED` or `BUNDLE_TOO_NEW`. */
export function decodeHeader(bytes: Buffer): BundleHeader {
  if (!startsLikeABundle(bytes))
    throw new PineError('BUNDLE_MALFORMED', 'this is not a bundle: its first bytes are not "PINEBNDL"')
  const format = bytes.readUInt32LE(8)
  if (format !== FORMAT_VERSION) {
    throw new PineError(
      'BUNDLE_TOO_NEW',
      `bundle format is ${format}, this pine-update reads ${FORMAT_VERSION}`,
      {
        hint: 'update pine-update first, with a bundle of the format it reads',
      },
    )
  }
  const header = {
    format,
    manifestBytes: bytes.readUInt32LE(12),
    signatureCount: bytes.readUInt32LE(16),
    keyListBytes: bytes.readUInt32LE(20),
  }
  checkLimit('manifest bytes', header.manifestBytes, MAX_MANIFEST_BYTES)
  checkLimit('signatures', header.signatureCount, MAX_SIGNATURES)
  checkLimit('bytes of key lists', header.keyListBytes, MAX_KEY_LIST_BYTES)
  if (header.manifestBytes === 0)
    throw new PineError('BUNDLE_MALFORMED', 'the bundle header names an empty manifest')
  return header
}

/** True when `bytes`, perhaps cut short, could be the start of a bundle. */
export function startsLikeABundle(bytes: Buffer): boolean {
  const length = Math.min(bytes.length, MAGIC.length)
  return bytes.subarray(0, length).equals(MAGIC.subarray(0, length))
}

function checkLimit(what: string, found: number, limit: number): void {
  if (found > limit)
    throw new PineError('BUNDLE_MALFORMED', `the bundle header names ${found} ${what}, the limit is ${limit}`)
}
