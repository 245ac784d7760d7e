import * as v from 'valibot'
import { DIGEST_BYTES, type Digest } from '../core/digest.ts'
import { PineError } from '../core/error.ts'
import { isVersion } from '../core/version.ts'
import { FORMAT_VERSION } from './header.ts'
import type { Canonical } from './msgpack.ts'
import { type Source, SourceSchema } from './source.ts'

const MiB = 1024 * 1024
export const MAX_SEGMENT_BYTES = 16 * MiB
export const MAX_CONTENT_BYTES = 16 * MiB * MiB
export const MAX_VARIANTS = 16

/** An image by its content. */
export interface ImageRef {
  readonly digest: Digest
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

/** What manifests of both kinds say. */
export interface AnyManifest {
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

export const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
export const digest = v.pipe(
  v.instance(Uint8Array),
  v.length(DIGEST_BYTES, `expected ${DIGEST_BYTES} bytes`),
  v.transform((bytes): Digest => Buffer.from(bytes).toString('hex')),
)
/** What `compatible` and codec names look like. */
export const LABEL = /^[A-Za-z0-9][A-Za-z0-9._+~-]{0,63}$/
export const label = v.pipe(v.string(), v.regex(LABEL, 'expected 1 to 64 letters, digits or ._+~-'))
export const segmentBytes = v.pipe(count, v.minValue(1), v.maxValue(MAX_SEGMENT_BYTES))
export const SegmentSchema = v.strictObject({ bytes: segmentBytes, rawBytes: segmentBytes, digest })

export const ANY = {
  format: v.literal(FORMAT_VERSION),
  compatible: label,
  version: v.pipe(v.string(), v.check(isVersion, 'expected a version such as 1.2 or 1.2-rc1')),
  epoch: count,
  created: count,
  expires: v.exactOptional(count),
  source: v.exactOptional(SourceSchema),
}

export function withRawDigest({ digest, ...entry }: ImageRef | StoredSegment): Canonical {
  return { ...entry, digest: rawDigest(digest) }
}

export function rawDigest(digest: Digest): Buffer {
  return Buffer.from(digest, 'hex')
}

export function malformed(what: string): PineError {
  return new PineError('BUNDLE_MALFORMED', `the manifest is invalid: ${what}`)
}
