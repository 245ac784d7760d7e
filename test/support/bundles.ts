import { describeImage } from '../../src/build/bundle.ts'
import { type ChangeList, packChanges } from '../../src/bundle/changes.ts'
import { encodeManifest, type ImageManifest, type Manifest, type Variant } from '../../src/bundle/manifest.ts'
import { openBundle } from '../../src/bundle/reader.ts'
import type { TreeManifest } from '../../src/bundle/tree-manifest.ts'
import { writeBundle } from '../../src/bundle/writer.ts'
import type { Codecs } from '../../src/core/codecs.ts'
import { digestOf } from '../../src/core/digest.ts'
import { type ErrorCode, PineError } from '../../src/core/error.ts'
import type { ByteSource, Region } from '../../src/core/region.ts'
import { writeImage } from '../../src/delta/apply.ts'
import type { WriteResult } from '../../src/delta/chunks.ts'
import { openTarget } from '../../src/diff/target.ts'
import { createVariant, type MadeVariant, type VariantOptions } from '../../src/diff/variant.ts'
import { nativeCodecs } from '../../src/host/delta-codecs.ts'
import { type GeneratedKey, generateKey, parsePrivateKey } from '../../src/trust/keys.ts'
import { signManifest, verifyManifest } from '../../src/trust/verify.ts'
import { memoryRegion } from './memory-region.ts'

export const codecs = nativeCodecs()
export const testKey = generateKey('test key')

export interface BundleInput {
  target: Buffer
  /** One variant; a full one without it. */
  base?: Buffer
  /** One variant each, in this order; undefined is the full one. Instead of `base`. */
  bases?: readonly (Buffer | undefined)[]
  chunkBytes?: number
  /** How far back segments look. */
  windowBytes?: number
  /** What makes the bundle; default: `codecs`. */
  codecs?: Codecs
  keys?: readonly GeneratedKey[]
  manifest?: Partial<ImageManifest>
  /** Laid over each variant. */
  variant?: Partial<Variant>
  /** Lists of changes of the variants that get one, in their order. */
  lists?: readonly (ChangeList | undefined)[]
}

export interface MadeBundle {
  bytes: Buffer
  manifest: ImageManifest
  payload: readonly Buffer[]
  /** Where each part starts, and the length of the whole at the end. */
  parts: {
    header: number
    manifest: number
    signatures: number
    segments: number[]
    lists: number[]
    end: number
  }
}

/** A real bundle, made by the product's own functions, signed by `testKey` unless told otherwise. */
export async function makeBundle(input: BundleInput): Promise<MadeBundle> {
  const {
    keys = [testKey],
    bases = [input.base],
    chunkBytes = 4096,
    windowBytes = 65_536,
    codecs: own = codecs,
  } = input
  const target = await openTarget(memoryRegion(input.target), own)
  const made: { variant: Variant; payload: Buffer }[] = []
  for (const base of bases)
    made.push(await makeVariant({ target, chunkBytes, windowBytes, codecs: own }, base))
  const lists = await Promise.all((input.lists ?? []).map((list) => list && packChanges(list, own)))
  const manifest: ImageManifest = {
    format: 1,
    compatible: 'test-x86',
    version: '1.0',
    epoch: 0,
    created: 1_700_000_000,
    image: { ...(await describeImage(target, codecs, chunkBytes)), fs: 'raw' },
    variants: made.map(({ variant }, index) => {
      const list = lists[index]
      return { ...variant, ...(list && { changes: list.entry }), ...input.variant }
    }),
    ...input.manifest,
  }
  const payload = [...made.map((one) => one.payload), ...lists.flatMap((list) => list?.packed ?? [])]
  return await assemble({ manifest, payload, keys })
}

const FAST = { codecs, minCopyBytes: 128, level: 1, windowBytes: 65_536 }

/** A delta, or without a base a full variant, packed as `bundle create` packs them but with less effort. */
export async function makeVariant(
  options: Pick<VariantOptions, 'target' | 'chunkBytes'> & Partial<VariantOptions>,
  base?: Buffer,
): Promise<MadeVariant & { payload: Buffer }> {
  const program: Buffer[] = []
  const data: Buffer[] = []
  const packing = base ? 'lzma2' : 'zstd'
  const from = base && { region: memoryRegion(base), ref: { digest: digestOf(base), bytes: base.length } }
  const made = await createVariant(
    { ...FAST, packing, ...options, base: from },
    {
      program: async (bytes) => void program.push(Buffer.from(bytes)),
      data: async (bytes) => void data.push(Buffer.from(bytes)),
    },
  )
  return { ...made, payload: Buffer.concat([...program, ...data]) }
}

/** Signs and writes a bundle of parts that may lie. */
export async function assemble({
  manifest,
  payload,
  keys = [testKey],
}: {
  manifest: ImageManifest
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
  const startOf = ({ bytes }: { bytes: number }): number => {
    at += bytes
    return at - bytes
  }
  const segments = manifest.variants.flatMap((variant) => variant.segments).map(startOf)
  const lists = manifest.variants.flatMap(({ changes }) => changes ?? []).map(startOf)
  return {
    bytes: Buffer.concat(out),
    manifest,
    payload,
    parts: { header: 0, manifest: 24, signatures: signaturesAt, segments, lists, end },
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
  target: Region
  /** Which variant; default: the first. */
  variant?: number
  pieceBytes?: number
  signal?: AbortSignal
}

/** Open, verify, write: what `apply` does, without policy. */
export async function applyBytes({
  bytes,
  base,
  target,
  pieceBytes,
  signal,
  ...chosen
}: ApplyInput): Promise<WriteResult> {
  const opened = await openBundle(arriving(bytes, pieceBytes))
  const manifest = ofImage(verifyManifest(opened, [testKey.publicKey]))
  const variant = manifest.variants[chosen.variant ?? 0]
  if (variant === undefined) throw new Error(`there is no variant ${chosen.variant}`)
  return await writeImage({
    segments: opened.segments(manifest.variants, variant),
    manifest,
    variant,
    codecs,
    target,
    signal,
    ...(base && { base: memoryRegion(base) }),
  })
}

/** Those of images, as most tests make them. */
export function ofImage<M extends Manifest>(manifest: M): Exclude<M, TreeManifest> {
  if ('tree' in manifest) throw new Error('the bundle is of a tree')
  return manifest as Exclude<M, TreeManifest>
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
