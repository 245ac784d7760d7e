import { readFileSync, writeFileSync } from 'node:fs'
import { HEADER_BYTES } from '../../src/bundle/header.ts'
import { decodeManifest, type ImageManifest } from '../../src/bundle/manifest.ts'
import { type Canonical, encodeCanonical } from '../../src/bundle/msgpack.ts'
import { decodeSignatures, signaturesBytes } from '../../src/bundle/signatures.ts'
import { encodeStart } from '../../src/bundle/writer.ts'
import type { ErrorCode } from '../../src/core/error.ts'
import { parsePrivateKey } from '../../src/trust/keys.ts'
import { signManifest } from '../../src/trust/verify.ts'
import { ofImage } from '../support/bundles.ts'
import { makeBundle, ON_DISK, type Workshop } from '../support/cli.ts'

/** One bad input, and the error it must end with. The rows are the table of docs/security.md. */
export interface Row {
  input: string
  code: ErrorCode
  /** Makes it; returns the command line that meets it. */
  make: (shop: Workshop) => Promise<string> | string
  /** Found while the inactive slot is written, not before. */
  late?: true
}

export const APPLY = `apply @2.0.bundle ${ON_DISK}`

/** A good bundle of 2.0 whose bytes are then changed. */
export function changed(change: (bytes: Buffer, parts: Parts) => Buffer, more?: string): Row['make'] {
  return async (shop) => {
    await makeBundle(shop, '2.0', more === undefined ? {} : { more })
    const bytes = readFileSync(shop.path('2.0.bundle'))
    writeFileSync(shop.path('2.0.bundle'), change(bytes, partsOf(bytes)))
    return APPLY
  }
}

interface Parts {
  manifest: number
  signatures: number
  segments: number[]
}

/** Where the parts of a bundle begin; docs/bundle-format.md. */
function partsOf(bytes: Buffer): Parts {
  const [manifestBytes, signatureCount] = [bytes.readUInt32LE(12), bytes.readUInt32LE(16)]
  const signatures = HEADER_BYTES + manifestBytes
  const { variants } = decodeManifest(bytes.subarray(HEADER_BYTES, signatures))
  let at = signatures + signaturesBytes(signatureCount) + bytes.readUInt32LE(20)
  const segments = variants
    .flatMap((variant) => variant.segments)
    .map((segment) => {
      at += segment.bytes
      return at - segment.bytes
    })
  return { manifest: HEADER_BYTES, signatures, segments }
}

export function flipped(bytes: Buffer, at: number): Buffer {
  bytes[at] = (bytes[at] ?? 0) ^ 0x10
  return bytes
}

export function withUInt32(bytes: Buffer, offset: number, value: number): Buffer {
  bytes.writeUInt32LE(value, offset)
  return bytes
}

/** A bundle whose manifest is those bytes, signed by the key that the host trusts: a CI that went wrong, or worse. */
export function signedBytes(shop: Workshop, bytes: Buffer, manifestBytes: Uint8Array): Buffer {
  const key = parsePrivateKey(readFileSync(shop.path('keys/ci.key'), 'utf8'))
  const { segments } = partsOf(bytes)
  const start = encodeStart(manifestBytes, [signManifest(manifestBytes, key)], Buffer.alloc(0))
  return Buffer.concat([start, bytes.subarray(segments[0])])
}

/** A good bundle with other manifest bytes, signed. */
export function signedJunk(junk: (manifest: ImageManifest) => Uint8Array): Row['make'] {
  return async (shop) => {
    await makeBundle(shop, '2.0')
    const bytes = readFileSync(shop.path('2.0.bundle'))
    const { manifest, signatures } = partsOf(bytes)
    const made = junk(ofImage(decodeManifest(bytes.subarray(manifest, signatures))))
    writeFileSync(shop.path('2.0.bundle'), signedBytes(shop, bytes, made))
    return APPLY
  }
}

/** A good bundle whose manifest says something else, signed; fields that no `Manifest` can have too. */
export function signedWith(change: (manifest: ImageManifest) => Record<string, unknown>): Row['make'] {
  return signedJunk((manifest) => encodeCanonical({ ...loose(manifest), ...plain(change(manifest)) }))
}

/** As it is encoded: digests are bytes there, hex in a `Manifest`. */
function loose(manifest: ImageManifest): { [key: string]: Canonical } {
  return plain({ ...manifest }) as { [key: string]: Canonical }
}

function plain(value: unknown, key = ''): any {
  if (typeof value === 'string' && key === 'digest') return Buffer.from(value, 'hex')
  if (value === null || typeof value !== 'object' || value instanceof Uint8Array) return value
  if (Array.isArray(value)) return value.map((item) => plain(item))
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, plain(item, name)]))
}

/** The signatures of a bundle, changed. */
export function resigned(
  change: (records: ReturnType<typeof decodeSignatures>, shop: Workshop) => typeof records,
  more?: string,
): Row['make'] {
  return async (shop) => {
    await changed((bytes, { manifest, signatures, segments }) => {
      const records = decodeSignatures(bytes.subarray(signatures, segments[0]))
      const after = change(records, shop)
      const start = encodeStart(bytes.subarray(manifest, signatures), after, Buffer.alloc(0))
      return Buffer.concat([start, bytes.subarray(segments[0])])
    }, more)(shop)
    return APPLY
  }
}
