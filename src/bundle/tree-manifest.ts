import * as v from 'valibot'
import type { Room } from '../core/room.ts'
import {
  ANY,
  type AnyManifest,
  count,
  digest,
  MAX_CONTENT_BYTES,
  MAX_VARIANTS,
  rawDigest,
  type SegmentEntry,
  SegmentSchema,
  type StoredSegment,
  segmentBytes,
  withRawDigest,
} from './manifest-parts.ts'
import { encodeCanonical } from './msgpack.ts'
import { encodeSource } from './source.ts'

/** An OSTree commit, SHA-256 in hex, and what it takes: each object by itself, in blocks of 4 KiB, and each folder of its tree. */
interface CommitRef extends Room {
  readonly commit: string
}

export interface TreeRef extends CommitRef {
  /** What its files take where they are copies, each by itself. */
  readonly copyBytes: number
  readonly copyInodes: number
}

/** One way to make the tree: an OSTree static delta, cut into segments that are stored as they are. */
export interface TreeVariant {
  /** The commit that the delta copies from; none in a full one. */
  readonly base?: CommitRef
  /** What the tree takes without the objects that the base has. */
  readonly newBytes: number
  readonly newInodes: number
  /** Memory an apply needs beside the runtime's own, that of libostree included. */
  readonly memoryBytes: number
  readonly segments: readonly StoredSegment[]
  /** As in `Variant`. */
  readonly changes?: SegmentEntry
}

export interface TreeManifest extends AnyManifest {
  readonly tree: TreeRef
  /** In the order in which their segments are in the bundle. */
  readonly variants: readonly TreeVariant[]
}

const contentBytes = v.pipe(count, v.minValue(1), v.maxValue(MAX_CONTENT_BYTES))
const commitRef = { commit: digest, bytes: contentBytes, inodes: count }

const TreeVariantSchema = v.strictObject({
  base: v.exactOptional(v.strictObject(commitRef)),
  newBytes: count,
  newInodes: count,
  memoryBytes: count,
  segments: v.pipe(v.array(v.strictObject({ bytes: segmentBytes, digest })), v.minLength(1)),
  changes: v.exactOptional(SegmentSchema),
})

export const TreeManifestSchema = v.strictObject({
  ...ANY,
  tree: v.strictObject({ ...commitRef, copyBytes: count, copyInodes: count }),
  variants: v.pipe(v.array(TreeVariantSchema), v.minLength(1), v.maxLength(MAX_VARIANTS)),
})

export function encodeTreeManifest({ tree, variants, source, ...rest }: TreeManifest): Buffer {
  return encodeCanonical({
    ...rest,
    ...(source && { source: encodeSource(source) }),
    tree: { ...tree, commit: rawDigest(tree.commit) },
    variants: variants.map(({ base, segments, changes, ...variant }) => ({
      ...variant,
      ...(base && { base: { ...base, commit: rawDigest(base.commit) } }),
      segments: segments.map(withRawDigest),
      ...(changes && { changes: withRawDigest(changes) }),
    })),
  })
}
