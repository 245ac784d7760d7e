import { decodeHeader, encodeHeader, FORMAT_VERSION, HEADER_BYTES } from './header.ts'
import { encodeManifest, type Manifest } from './manifest.ts'
import type { Sent } from './reader.ts'
import { type BundleSignature, encodeSignatures } from './signatures.ts'

/** Takes bytes in order; they may be reused once it resolves. */
export type ByteSink = (bytes: Uint8Array) => Promise<void>

export interface BundleParts {
  readonly manifest: Manifest
  /** Over `encodeManifest(manifest)`; empty for a bundle that is signed later. */
  readonly signatures: readonly BundleSignature[]
  /** From `encodeKeyLists`; default: none. */
  readonly keyLists?: Uint8Array
  /** The bytes of the segments, then of the lists of changes, in order, in pieces of any size. */
  readonly payload: AsyncIterable<Uint8Array> | Iterable<Uint8Array>
}

/** Writes a bundle; the same parts give the same bytes. Returns its length in bytes. */
export async function writeBundle(
  { manifest, signatures, keyLists = Buffer.alloc(0), payload }: BundleParts,
  sink: ByteSink,
): Promise<number> {
  const manifestBytes = encodeManifest(manifest)
  const start = encodeStart(manifestBytes, signatures, keyLists)
  await sink(start)
  let written = start.length
  for await (const piece of payload) {
    await sink(piece)
    written += piece.length
  }
  const expected = start.length + payloadBytes(manifest)
  if (written !== expected)
    throw new Error(`wrote a bundle of ${written} bytes, its manifest says ${expected}`)
  return written
}

/** All that comes before the segments. */
export function encodeStart(
  manifestBytes: Uint8Array,
  signatures: readonly BundleSignature[],
  keyLists: Uint8Array,
): Buffer {
  const header = {
    format: FORMAT_VERSION,
    manifestBytes: manifestBytes.length,
    signatureCount: signatures.length,
    keyListBytes: keyLists.length,
  }
  const start = Buffer.concat([encodeHeader(header), manifestBytes, encodeSignatures(signatures), keyLists])
  decodeHeader(start.subarray(0, HEADER_BYTES))
  return start
}

/** Bytes of all segments and lists of changes together. */
export function payloadBytes({ variants }: { readonly variants: readonly Sent[] }): number {
  return variants.reduce<number>(
    (sum, variant) => sum + segmentsBytes(variant) + (variant.changes?.bytes ?? 0),
    0,
  )
}

export function segmentsBytes({ segments }: Pick<Sent, 'segments'>): number {
  return segments.reduce((sum, { bytes }) => sum + bytes, 0)
}
