import { digestOf } from '../core/digest.ts'
import { PineError } from '../core/error.ts'
import type { ByteSource } from '../core/region.ts'
import { type ByteReader, readBytes } from './byte-reader.ts'
import { type BundleHeader, decodeHeader, HEADER_BYTES, startsLikeABundle } from './header.ts'
import type { SegmentEntry, StoredSegment } from './manifest-parts.ts'
import { type BundleSignature, decodeSignatures, signaturesBytes } from './signatures.ts'
import { segmentsBytes } from './writer.ts'

/** What a variant of either kind sends. */
export interface Sent<S extends StoredSegment = StoredSegment> {
  readonly segments: readonly S[]
  readonly changes?: SegmentEntry
}

/** A segment as it arrived, its digest checked. `payload` is valid until the next one is asked for. */
export interface ArrivedSegment<S extends StoredSegment = SegmentEntry> {
  readonly entry: S
  readonly payload: Uint8Array
}

/** The start of a bundle, read but not believed: src/trust turns it into a `Verified<Manifest>`. */
export interface OpenedBundle {
  readonly header: BundleHeader
  readonly manifestBytes: Buffer
  readonly signatures: readonly BundleSignature[]
  /** Key lists as `encodeKeyLists` makes them; empty where the bundle carries none. */
  readonly keyListBytes: Buffer
  /**
   * The segments of one variant of the verified manifest, once, in order; those of others are passed over. Throws
   * `BUNDLE_TRUNCATED`, `BUNDLE_CORRUPT`, and at the end `BUNDLE_MALFORMED` when bytes follow that nothing names. What is named
   * behind them is not read: other variants, and the lists of changes.
   */
  segments<S extends StoredSegment>(
    variants: readonly Sent<S>[],
    chosen: Sent<S>,
  ): AsyncGenerator<ArrivedSegment<S>, void, undefined>
  /**
   * The list of changes of one variant, which has one, as it is packed; its digest is checked. Everything before it is
   * passed over. Throws as `segments` does.
   */
  changes(variants: readonly Sent[], chosen: Sent): Promise<Buffer>
  /** Every segment of every variant, and every list of changes, for checking alone. */
  allSegments(variants: readonly Sent[]): AsyncGenerator<StoredSegment, void, undefined>
  /** Lets the source go; needed where `segments` is not read to its end. */
  close(): Promise<void>
}

const SKIP_BYTES = 1024 * 1024

/** Reads header, manifest and signatures; decodes nothing but the header. One pass over `source`, bounded memory. */
export async function openBundle(source: ByteSource): Promise<OpenedBundle> {
  const reader = readBytes(source)
  try {
    const header = await readHeader(reader)
    const manifestBytes = await readExactly(reader, header.manifestBytes, 'manifest')
    const signatures = await readExactly(reader, signaturesBytes(header.signatureCount), 'signatures')
    const keyListBytes = await readExactly(reader, header.keyListBytes, 'key lists')
    return {
      header,
      manifestBytes,
      signatures: decodeSignatures(signatures),
      keyListBytes,
      segments: (variants, chosen) => readVariant(reader, variants, chosen),
      changes: (variants, chosen) => readChanges(reader, variants, chosen),
      allSegments: (variants) => checkAll(reader, variants),
      close: () => reader.close(),
    }
  } catch (error) {
    await reader.close()
    throw error
  }
}

async function readHeader(reader: ByteReader): Promise<BundleHeader> {
  const bytes = Buffer.alloc(HEADER_BYTES)
  const found = await reader.fill(bytes)
  if (found < HEADER_BYTES && startsLikeABundle(bytes.subarray(0, found)))
    throw truncated('header', HEADER_BYTES, found)
  return decodeHeader(bytes)
}

async function* readVariant<S extends StoredSegment>(
  reader: ByteReader,
  variants: readonly Sent<S>[],
  chosen: Sent<S>,
): AsyncGenerator<ArrivedSegment<S>, void, undefined> {
  const index = variants.indexOf(chosen)
  try {
    const before = variants.slice(0, index).reduce<number>((sum, variant) => sum + segmentsBytes(variant), 0)
    await passOver(reader, before)
    yield* readSegments(reader, chosen.segments)
    const isLast = index === variants.length - 1 && variants.every(({ changes }) => changes === undefined)
    if (isLast) await requireEnd(reader)
  } finally {
    await reader.close()
  }
}

async function readChanges(reader: ByteReader, variants: readonly Sent[], chosen: Sent): Promise<Buffer> {
  const { changes } = chosen
  if (changes === undefined) throw new Error('the variant has no list of changes')
  const index = variants.indexOf(chosen)
  const listsBytes = (some: readonly Sent[]): number =>
    some.reduce<number>((sum, variant) => sum + (variant.changes?.bytes ?? 0), 0)
  try {
    const segments = variants.reduce<number>((sum, variant) => sum + segmentsBytes(variant), 0)
    await passOver(reader, segments + listsBytes(variants.slice(0, index)))
    const packed = await readList(reader, changes)
    if (listsBytes(variants.slice(index + 1)) === 0) await requireEnd(reader)
    return packed
  } finally {
    await reader.close()
  }
}

async function readList(reader: ByteReader, entry: SegmentEntry): Promise<Buffer> {
  const packed = await readExactly(reader, entry.bytes, 'list of changes')
  requireDigest(packed, entry, 'the list of changes')
  return packed
}

async function* checkAll(
  reader: ByteReader,
  variants: readonly Sent[],
): AsyncGenerator<StoredSegment, void, undefined> {
  try {
    for (const { segments } of variants)
      for await (const { entry } of readSegments(reader, segments)) yield entry
    for (const { changes } of variants) {
      if (changes === undefined) continue
      await readList(reader, changes)
      yield changes
    }
    await requireEnd(reader)
  } finally {
    await reader.close()
  }
}

async function requireEnd(reader: ByteReader): Promise<void> {
  if (!(await reader.atEnd())) throw new PineError('BUNDLE_MALFORMED', 'bytes follow the end of the bundle')
}

async function passOver(reader: ByteReader, bytes: number): Promise<void> {
  const buffer = Buffer.allocUnsafeSlow(Math.min(bytes, SKIP_BYTES))
  for (let done = 0; done < bytes; done += SKIP_BYTES)
    await fillOrThrow(reader, buffer.subarray(0, Math.min(SKIP_BYTES, bytes - done)), 'segments')
}

async function* readSegments<S extends StoredSegment>(
  reader: ByteReader,
  table: readonly S[],
): AsyncGenerator<ArrivedSegment<S>, void, undefined> {
  const buffer = Buffer.allocUnsafeSlow(table.reduce<number>((most, { bytes }) => Math.max(most, bytes), 0))
  for (const [index, entry] of table.entries()) {
    const payload = buffer.subarray(0, entry.bytes)
    await fillOrThrow(reader, payload, `segment ${index}`)
    requireDigest(payload, entry, `segment ${index}`)
    yield { entry, payload }
  }
}

function requireDigest(payload: Uint8Array, { digest }: StoredSegment, what: string): void {
  if (digestOf(payload) === digest) return
  throw new PineError('BUNDLE_CORRUPT', `${what} does not have the digest the manifest names`, {
    hint: 'fetch the bundle again',
  })
}

async function readExactly(reader: ByteReader, bytes: number, what: string): Promise<Buffer> {
  const buffer = Buffer.alloc(bytes)
  await fillOrThrow(reader, buffer, what)
  return buffer
}

async function fillOrThrow(reader: ByteReader, into: Uint8Array, what: string): Promise<void> {
  const found = await reader.fill(into)
  if (found < into.length) throw truncated(what, into.length, found)
}

function truncated(what: string, expected: number, found: number): PineError {
  return new PineError(
    'BUNDLE_TRUNCATED',
    `the bundle ends in its ${what}: expected ${expected} bytes, found ${found}`,
    {
      hint: 'fetch the bundle again; what was applied so far is kept',
    },
  )
}
