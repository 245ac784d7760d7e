import * as v from 'valibot'
import type { PackKind } from '../core/codec.ts'
import { DIGEST_BYTES, type Digest } from '../core/digest.ts'
import { PineError } from '../core/error.ts'
import { isVersion } from '../core/version.ts'
import { FORMAT_VERSION } from './header.ts'
import { type Canonical, decodeCanonical, encodeCanonical } from './msgpack.ts'
import { encodeSource, type Source, SourceSchema } from './source.ts'

const MiB = 1024 * 1024
export const DEFAULT_CHUNK_BYTES = MiB
const MAX_SEGMENT_BYTES = 16 * MiB
const MIN_CHUNK_BYTES = 4096
const MAX_IMAGE_BYTES = 16 * MiB * MiB
const MAX_SPANS = 4096
const MAX_VARIANTS = 16
/** A program is in memory as a whole. */
const MAX_PROGRAM_SEGMENTS = 16

/** File systems an image can hold; `raw` where the builder does not know. */
const IMAGE_FILE_SYSTEMS = ['squashfs', 'erofs', 'ext4', 'raw'] as const
export type ImageFileSystem = (typeof IMAGE_FILE_SYSTEMS)[number]

/** An image by its content. */
export interface ImageRef {
  readonly digest: Digest
  readonly bytes: number
}

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

/** A run of the bundle that is checked as one. */
export interface StoredSegment {
  /** In the bundle. */
  readonly bytes: number
  /** Of the bytes in the bundle. */
  readonly digest: Digest
}

/** One that is also unpacked as one. */
export interface SegmentEntry extends StoredSegment {
  /** Once unpacked. */
  readonly rawBytes: number
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

/** An OSTree commit, SHA-256 in hex, and what its objects take: each by itself, in blocks of 4 KiB. */
export interface TreeRef {
  readonly commit: string
  readonly bytes: number
}

/** One way to make the tree: an OSTree static delta, cut into segments that are stored as they are. */
export interface TreeVariant {
  /** The commit that the delta copies from; none in a full one. */
  readonly base?: Pick<TreeRef, 'commit'>
  /** What objects take that the base does not have, as in `TreeRef`. */
  readonly newBytes: number
  /** Memory an apply needs beside the runtime's own, that of libostree included. */
  readonly memoryBytes: number
  readonly segments: readonly StoredSegment[]
  /** As in `Variant`. */
  readonly changes?: SegmentEntry
}

/** All a bundle says: what it makes, from what, for whom, and each byte that follows. */
export type Manifest = ImageManifest | TreeManifest

interface AnyManifest {
  readonly format: number
  /** The kind of host, such as `web-x86`. */
  readonly compatible: string
  /** Ordered by `compareVersions`. */
  readonly version: string
  /** Anti-rollback floor: never goes down on a host. */
  readonly epoch: number
  /** Seconds since 1970, UTC. */
  readonly created: number
  readonly expires?: number
  /** What the release was made of, for people. */
  readonly source?: Source
}

export interface ImageManifest extends AnyManifest {
  readonly image: ImageEntry
  /** In the order in which their segments are in the bundle. */
  readonly variants: readonly Variant[]
  /** Absolute paths inside the image. */
  readonly kernel?: { readonly linux: string; readonly initrd: string }
}

export interface TreeManifest extends AnyManifest {
  readonly tree: TreeRef
  /** In the order in which their segments are in the bundle. */
  readonly variants: readonly TreeVariant[]
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

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const digest = v.pipe(
  v.instance(Uint8Array),
  v.length(DIGEST_BYTES, `expected ${DIGEST_BYTES} bytes`),
  v.transform((bytes): Digest => Buffer.from(bytes).toString('hex')),
)
/** What `compatible` and codec names look like. */
export const LABEL = /^[A-Za-z0-9][A-Za-z0-9._+~-]{0,63}$/
const label = v.pipe(v.string(), v.regex(LABEL, 'expected 1 to 64 letters, digits or ._+~-'))
const path = v.pipe(
  v.string(),
  v.regex(/^(\/(?!\.\.?(\/|$))[A-Za-z0-9._+-]+){1,16}$/, 'expected an absolute path'),
)
const segmentBytes = v.pipe(count, v.minValue(1), v.maxValue(MAX_SEGMENT_BYTES))
const codecs = v.pipe(
  v.array(v.strictObject({ name: label, version: v.exactOptional(label) })),
  v.maxLength(16),
)

const SegmentSchema = v.strictObject({ bytes: segmentBytes, rawBytes: segmentBytes, digest })

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

const ANY = {
  format: v.literal(FORMAT_VERSION),
  compatible: label,
  version: v.pipe(v.string(), v.check(isVersion, 'expected a version such as 1.2 or 1.2-rc1')),
  epoch: count,
  created: count,
  expires: v.exactOptional(count),
  source: v.exactOptional(SourceSchema),
}

const ImageManifestSchema = v.strictObject({
  ...ANY,
  image: v.strictObject({
    bytes: v.pipe(count, v.minValue(1), v.maxValue(MAX_IMAGE_BYTES)),
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

const TreeVariantSchema = v.strictObject({
  base: v.exactOptional(v.strictObject({ commit: digest })),
  newBytes: count,
  memoryBytes: count,
  segments: v.pipe(v.array(v.strictObject({ bytes: segmentBytes, digest })), v.minLength(1)),
  changes: v.exactOptional(SegmentSchema),
})

const TreeManifestSchema = v.strictObject({
  ...ANY,
  tree: v.strictObject({ commit: digest, bytes: v.pipe(count, v.minValue(1), v.maxValue(MAX_IMAGE_BYTES)) }),
  variants: v.pipe(v.array(TreeVariantSchema), v.minLength(1), v.maxLength(MAX_VARIANTS)),
})

export function encodeManifest(manifest: Manifest): Buffer {
  return 'tree' in manifest ? encodeTreeManifest(manifest) : encodeImageManifest(manifest)
}

function encodeTreeManifest({ tree, variants, source, ...rest }: TreeManifest): Buffer {
  return encodeCanonical({
    ...rest,
    ...(source && { source: encodeSource(source) }),
    tree: { ...tree, commit: rawDigest(tree.commit) },
    variants: variants.map(({ base, segments, changes, ...variant }) => ({
      ...variant,
      ...(base && { base: { commit: rawDigest(base.commit) } }),
      segments: segments.map(withRawDigest),
      ...(changes && { changes: withRawDigest(changes) }),
    })),
  })
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

function withRawDigest({ digest, ...entry }: ImageRef | StoredSegment): Canonical {
  return { ...entry, digest: rawDigest(digest) }
}

function rawDigest(digest: Digest): Buffer {
  return Buffer.from(digest, 'hex')
}

function malformed(what: string): PineError {
  return new PineError('BUNDLE_MALFORMED', `the manifest is invalid: ${what}`)
}
