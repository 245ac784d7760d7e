import * as v from 'valibot'
import type { PackKind } from '../core/codec.ts'
import { DIGEST_BYTES, type Digest } from '../core/digest.ts'
import {
  ANY,
  type AnyManifest,
  count,
  digest,
  type ImageRef,
  label,
  MAX_CONTENT_BYTES,
  MAX_SEGMENT_BYTES,
  MAX_VARIANTS,
  malformed,
  rawDigest,
  type SegmentEntry,
  SegmentSchema,
  withRawDigest,
} from './manifest-parts.ts'
import { decodeCanonical, encodeCanonical } from './msgpack.ts'
import { encodeSource } from './source.ts'
import {
  encodeTreeManifest,
  type TreeManifest,
  TreeManifestSchema,
  type TreeVariant,
} from './tree-manifest.ts'

const MiB = 1024 * 1024
export const DEFAULT_CHUNK_BYTES = MiB
const MIN_CHUNK_BYTES = 4096
const MAX_SPANS = 4096
/** A program is in memory as a whole. */
const MAX_PROGRAM_SEGMENTS = 16

/** File systems an image can hold; `raw` where the builder does not know. */
const IMAGE_FILE_SYSTEMS = ['squashfs', 'erofs', 'ext4', 'raw'] as const
export type ImageFileSystem = (typeof IMAGE_FILE_SYSTEMS)[number]

export interface ImageEntry extends ImageRef {
  readonly fs: ImageFileSystem
  /** A power of two from 4 KiB to 1 MiB. The last chunk is as short as the image leaves it. */
  readonly chunkBytes: number
  /** BLAKE3 of each chunk, 32 bytes each, in the order in which the image is made. */
  readonly chunks: Uint8Array
  /** That order: runs that cover the image once. Without it, from the first byte to the last. */
  readonly order?: readonly Span[]
}

/** A run of an image. */
export interface Span {
  readonly offset: number
  readonly bytes: number
}

/** One way to make the image: from a base, or from nothing. */
export interface Variant {
  /** The image that it copies from; none in a full one. */
  readonly base?: ImageRef
  readonly codecs: readonly CodecNeed[]
  /** Memory an apply needs beside the runtime's own. */
  readonly memoryBytes: number
  /** What compresses the segments, and how far back it looks. */
  readonly packing: PackKind
  readonly windowBytes: number
  /** So many segments hold the program, the rest its data. */
  readonly programSegments: number
  readonly segments: readonly SegmentEntry[]
  /** The list of what changed since the base, behind the segments of all variants; only where there is a base. */
  readonly changes?: SegmentEntry
}

/** What a host must be able to decode. */
interface CodecNeed {
  readonly name: string
  /** Only where the exact version matters. */
  readonly version?: string
}

/** All a bundle says: what it makes, from what, for whom, and each byte that follows. */
export type Manifest = ImageManifest | TreeManifest

export interface ImageManifest extends AnyManifest {
  readonly image: ImageEntry
  /** In the order in which their segments are in the bundle. */
  readonly variants: readonly Variant[]
  /** Absolute paths inside the image. */
  readonly kernel?: { readonly linux: string; readonly initrd: string }
}

/** What the bundle of either kind makes: `digest` is a commit for a tree. */
export interface Content extends ImageRef {
  readonly fs: ImageFileSystem | 'tree'
}

export function contentOf(manifest: Manifest): Content {
  if ('tree' in manifest) return { digest: manifest.tree.commit, bytes: manifest.tree.bytes, fs: 'tree' }
  const { digest, bytes, fs } = manifest.image
  return { digest, bytes, fs }
}

/** Digest or commit that a variant is made from. */
export function baseOf({ base }: Variant | TreeVariant): Digest | undefined {
  return base && ('commit' in base ? base.commit : base.digest)
}

const path = v.pipe(
  v.string(),
  v.regex(/^(\/(?!\.\.?(\/|$))[A-Za-z0-9._+-]+){1,16}$/, 'expected an absolute path'),
)
const codecs = v.pipe(
  v.array(v.strictObject({ name: label, version: v.exactOptional(label) })),
  v.maxLength(16),
)

const VariantSchema = v.strictObject({
  base: v.exactOptional(v.strictObject({ digest, bytes: v.pipe(count, v.minValue(1)) })),
  codecs,
  memoryBytes: count,
  packing: v.picklist(['lzma2', 'zstd']),
  windowBytes: v.pipe(count, v.minValue(4096), v.maxValue(MAX_SEGMENT_BYTES)),
  programSegments: v.pipe(count, v.minValue(1), v.maxValue(MAX_PROGRAM_SEGMENTS)),
  segments: v.array(SegmentSchema),
  changes: v.exactOptional(SegmentSchema),
})

const ImageManifestSchema = v.strictObject({
  ...ANY,
  image: v.strictObject({
    bytes: v.pipe(count, v.minValue(1), v.maxValue(MAX_CONTENT_BYTES)),
    fs: v.picklist(IMAGE_FILE_SYSTEMS),
    digest,
    chunkBytes: v.pipe(
      count,
      v.check(
        (n) => n >= MIN_CHUNK_BYTES && n <= MiB && Number.isInteger(Math.log2(n)),
        'expected a power of two from 4 KiB to 1 MiB',
      ),
    ),
    chunks: v.instance(Uint8Array),
    order: v.exactOptional(
      v.pipe(v.array(v.strictObject({ offset: count, bytes: count })), v.maxLength(MAX_SPANS)),
    ),
  }),
  variants: v.pipe(v.array(VariantSchema), v.minLength(1), v.maxLength(MAX_VARIANTS)),
  kernel: v.exactOptional(v.strictObject({ linux: path, initrd: path })),
})

export function encodeManifest(manifest: Manifest): Buffer {
  return 'tree' in manifest ? encodeTreeManifest(manifest) : encodeImageManifest(manifest)
}

function encodeImageManifest(manifest: ImageManifest): Buffer {
  const { image, variants, kernel, source, ...rest } = manifest
  const { order, ...place } = image
  return encodeCanonical({
    ...rest,
    ...(kernel && { kernel }),
    ...(source && { source: encodeSource(source) }),
    image: {
      ...place,
      ...(order && { order: order.map((span) => ({ ...span })) }),
      digest: rawDigest(image.digest),
    },
    variants: variants.map(({ base, codecs: needs, segments, changes, ...variant }) => ({
      ...variant,
      ...(base && { base: withRawDigest(base) }),
      codecs: needs.map((codec) => ({ ...codec })),
      segments: segments.map(withRawDigest),
      ...(changes && { changes: withRawDigest(changes) }),
    })),
  })
}

/**
 * Bytes to a checked manifest. Call it on bytes whose signature was verified (src/trust does), or to look at a file.
 * Throws `BUNDLE_MALFORMED`.
 */
export function decodeManifest(bytes: Buffer): Manifest {
  // A manifest of eight megabytes can be wrong in a million places, and each would be described.
  const value = decodeCanonical(bytes)
  const isTree = typeof value === 'object' && value !== null && 'tree' in value
  const schema = isTree ? TreeManifestSchema : ImageManifestSchema
  const result = v.safeParse(schema, value, { abortEarly: true })
  if (!result.success) throw malformed(describeIssue(result.issues[0]))
  const manifest: Manifest = result.output
  if (!('tree' in manifest)) checkImage(manifest)
  for (const variant of manifest.variants) checkChanges(variant)
  const { created, expires } = manifest
  if (expires !== undefined && expires <= created) throw malformed('it expires before it was created')
  return manifest
}

/** Chunks of the image; the last one may be short. */
function chunkCount(image: Pick<ImageEntry, 'bytes' | 'chunkBytes'>): number {
  return Math.ceil(image.bytes / image.chunkBytes)
}

/** Where a chunk lies in the image. */
export function chunkRange(
  image: Pick<ImageEntry, 'bytes' | 'chunkBytes'>,
  index: number,
): { offset: number; bytes: number } {
  const offset = index * image.chunkBytes
  return { offset, bytes: Math.min(image.chunkBytes, image.bytes - offset) }
}

function checkImage({ image, variants }: ImageManifest): void {
  const chunks = chunkCount(image)
  if (image.chunks.length !== chunks * DIGEST_BYTES) {
    throw malformed(`image.chunks has ${image.chunks.length} bytes, expected ${chunks * DIGEST_BYTES}`)
  }
  if (image.order) checkOrder(image.order, image.bytes)
  for (const variant of variants) checkVariant(variant)
}

function checkOrder(order: readonly Span[], imageBytes: number): void {
  let end = 0
  for (const { offset, bytes } of [...order].sort((a, b) => a.offset - b.offset)) {
    if (offset !== end || bytes === 0) throw malformed(`image.order does not cover the image at ${end}`)
    end += bytes
  }
  if (end !== imageBytes) throw malformed(`image.order ends at ${end}, the image at ${imageBytes}`)
}

function checkVariant({ codecs: needs, segments, programSegments }: Variant): void {
  if (new Set(needs.map(({ name }) => name)).size !== needs.length) throw malformed('a codec is listed twice')
  if (programSegments > segments.length)
    throw malformed(`the program has ${programSegments} segments of ${segments.length}`)
}

function checkChanges({ base, changes }: Variant | TreeVariant): void {
  if (changes !== undefined && base === undefined)
    throw malformed('there are changes without a base that they are from')
}

function describeIssue(issue: v.BaseIssue<unknown>): string {
  return `${v.getDotPath(issue) ?? 'manifest'}: ${issue.message}`
}
