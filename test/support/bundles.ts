import { encodeManifest, type Manifest } from '../../src/bundle/manifest.ts'
import { openBundle } from '../../src/bundle/reader.ts'
import { writeBundle } from '../../src/bundle/writer.ts'
import { digestOf } from '../../src/core/digest.ts'
import { type ErrorCode, PineError } from '../../src/core/error.ts'
import type { ByteSource } from '../../src/core/region.ts'
import { applyMemoryBytes, NEEDED_CODECS, type WriteResult, writeImage } from '../../src/delta/apply.ts'
import { createDelta } from '../../src/delta/create.ts'
import { nativeCodec } from '../../src/host/native.ts'
import { type GeneratedKey, generateKey, parsePrivateKey } from '../../src/trust/keys.ts'
import { signManifest, verifyManifest } from '../../src/trust/verify.ts'
import { type MemoryRegion, memoryRegion } from './memory-region.ts'

export const codec = nativeCodec()
export const testKey = generateKey('test key')

export interface BundleInput {
  target: Buffer
  base?: Buffer
  chunkBytes?: number
  segmentBytes?: number
  keys?: readonly GeneratedKey[]
  manifest?: Partial<Manifest>
}

export interface MadeBundle {
  bytes: Buffer
  manifest: Manifest
  /** Where each part starts, and the length of the whole at the end. */
  parts: { header: number; manifest: number; signatures: number; segments: number[]; end: number }
}

/** A real bundle, made by the product's own functions, signed by `testKey` unless told otherwise. */
export async function makeBundle(input: BundleInput): Promise<MadeBundle> {
  const payload: Buffer[] = []
  const { target, base, keys = [testKey], chunkBytes = 4096, segmentBytes = 8192 } = input
  const tables = await createDelta(
    {
      codec,
      chunkBytes,
      segmentBytes,
      level: 3,
      target: memoryRegion(target),
      ...(base && { base: memoryRegion(base) }),
    },
    async (bytes) => void payload.push(Buffer.from(bytes)),
  )
  const manifest: Manifest = {
    format: 1,
    compatible: 'test-x86',
    version: '1.0',
    epoch: 0,
    created: 1_700_000_000,
    image: { ...tables.image, fs: 'raw' },
    bases: base ? [{ digest: digestOf(base), bytes: base.length }] : [],
    codecs: NEEDED_CODECS,
    segments: tables.segments,
    memoryBytes: applyMemoryBytes(tables.segments, chunkBytes),
    ...input.manifest,
  }
  return await assemble({ manifest, payload, keys })
}

/** Signs and writes a bundle of parts that may lie. */
export async function assemble({
  manifest,
  payload,
  keys = [testKey],
}: {
  manifest: Manifest
  payload: readonly Buffer[]
  keys?: readonly GeneratedKey[]
}): Promise<MadeBundle> {
  const manifestBytes = encodeManifest(manifest)
  const signatures = keys.map((key) => signManifest(manifestBytes, parsePrivateKey(key.privatePem)))
  const out: Buffer[] = []
  const end = await writeBundle(
    { manifest, signatures, payload },
    async (bytes) => void out.push(Buffer.from(bytes)),
  )
  const signaturesAt = 24 + manifestBytes.length
  let at = signaturesAt + 72 * keys.length
  const segments = manifest.segments.map(({ bytes }) => {
    at += bytes
    return at - bytes
  })
  return {
    bytes: Buffer.concat(out),
    manifest,
    parts: { header: 0, manifest: 24, signatures: signaturesAt, segments, end },
  }
}

/** Bytes as they could come from a network: in pieces of `pieceBytes`, each in the same reused buffer. */
export async function* arriving(bytes: Buffer, pieceBytes = 1000): ByteSource {
  const piece = Buffer.alloc(pieceBytes)
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    const length = bytes.copy(piece, 0, at)
    yield piece.subarray(0, length)
  }
}

export interface ApplyInput {
  bytes: Buffer
  base?: Buffer
  target: MemoryRegion
  pieceBytes?: number
}

/** Open, verify, write: what `apply` does, without policy. */
export async function applyBytes({ bytes, base, target, pieceBytes }: ApplyInput): Promise<WriteResult> {
  const opened = await openBundle(arriving(bytes, pieceBytes))
  const manifest = verifyManifest(opened, [testKey.publicKey])
  return await writeImage({
    segments: opened.segments(manifest.segments),
    manifest,
    codec,
    target,
    ...(base && { base: memoryRegion(base) }),
  })
}

/** The code of the `PineError` that `action` ends with; anything else fails the test. */
export async function codeOf(action: () => unknown): Promise<ErrorCode | 'none'> {
  try {
    await action()
    return 'none'
  } catch (error) {
    if (error instanceof PineError) return error.code
    throw error
  }
}

/** Bytes that look random and are the same in each run. */
export function noise(bytes: number, seed = 1): Buffer {
  const out = Buffer.alloc(bytes)
  let state = seed * 2654435761
  for (let i = 0; i < bytes; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0
    out[i] = state >>> 24
  }
  return out
}
