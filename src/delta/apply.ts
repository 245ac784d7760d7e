import { chunkRange, type Manifest, type SegmentEntry } from '../bundle/manifest.ts'
import type { ArrivedSegment } from '../bundle/reader.ts'
import type { Codec } from '../core/codec.ts'
import { blake3, DIGEST_BYTES } from '../core/digest.ts'
import { PineError } from '../core/error.ts'
import type { OnProgress } from '../core/progress.ts'
import type { Region } from '../core/region.ts'
import { type BaseCache, cacheBase } from './base-cache.ts'
import { OPS_CODEC, type Op, type PayloadReader, readPayload } from './ops.ts'

export interface WriteImageOptions {
  /** `opened.segments(manifest.segments)`. */
  readonly segments: AsyncIterable<ArrivedSegment>
  readonly manifest: Manifest
  readonly codec: Codec
  /** Where the base image is, at its start; needed when the manifest names one. */
  readonly base?: Region
  /** The slot; may be longer than the image. */
  readonly target: Region
  readonly signal?: AbortSignal
  /** Bytes of the image that are in place. */
  readonly onProgress?: OnProgress
}

export interface WriteResult {
  readonly writtenBytes: number
  /** Already right before: a resume, or the slot's earlier content. */
  readonly skippedBytes: number
}

const CACHE_PAGES = 32
const PAGE_BYTES = 64 * 1024
/** A power cut loses at most this much work, and the page cache of a small host stays its own. */
const CHECKPOINT_BYTES = 64 * 1024 * 1024

/** What this program can decode, as `HostPolicy.codecs` wants it. */
export function supportedCodecs(codec: Codec): ReadonlyMap<string, string> {
  return new Map([
    [OPS_CODEC.name, OPS_CODEC.version],
    ['zstd', codec.version],
  ])
}

/** What a manifest lists for segments made by `createDelta`. Any version of zstd reads our frames. */
export const NEEDED_CODECS = [OPS_CODEC, { name: 'zstd' }] as const

/** For the manifest: the buffers that `writeImage` and the reader hold at once. */
export function applyMemoryBytes(segments: readonly SegmentEntry[], chunkBytes: number): number {
  const most = (pick: (segment: SegmentEntry) => number) =>
    segments.reduce((top, entry) => Math.max(top, pick(entry)), 0)
  return (
    most(({ bytes }) => bytes) + most(({ rawBytes }) => rawBytes) + 2 * chunkBytes + CACHE_PAGES * PAGE_BYTES
  )
}

/**
 * Puts the image into `target`, chunk by chunk: what is already right is left alone, what does not come out right is never
 * written; at the end all of it is flushed. Does not check signatures, and does not read back what it wrote.
 * Throws `IMAGE_TOO_BIG` and `BASE_MISMATCH` before the first write; later `BASE_MISMATCH` or `BUNDLE_CORRUPT` for a chunk
 * that comes out wrong, `BUNDLE_MALFORMED` for operations that make no sense, and what the segments throw.
 */
export async function writeImage(options: WriteImageOptions): Promise<WriteResult> {
  const { manifest, target, segments, signal, onProgress } = options
  const produce = prepareProducer(options)
  const place = preparePlace(manifest, target)
  let skippedBytes = 0
  let writtenBytes = 0
  for await (const segment of segments) {
    const chunks = produce(segment)
    for (
      let index = segment.entry.firstChunk;
      index < segment.entry.firstChunk + segment.entry.chunks;
      index++
    ) {
      signal?.throwIfAborted()
      const ops = chunks.take(chunkRange(manifest.image, index).bytes)
      if (await place.isRight(index)) {
        skippedBytes += chunks.skip(ops)
      } else {
        writtenBytes += await place.put(index, (into) => chunks.fill(ops, into))
      }
      onProgress?.(skippedBytes + writtenBytes, manifest.image.bytes)
    }
    chunks.end()
  }
  await place.checkpoint()
  if (skippedBytes + writtenBytes !== manifest.image.bytes)
    throw new Error('the segments did not cover the image')
  return { writtenBytes, skippedBytes }
}

/** One segment as a source of chunks. */
interface ChunkSource {
  take(bytes: number): Op[]
  /** Passes over a chunk without making it; returns its length. */
  skip(ops: readonly Op[]): number
  /** Makes a chunk; true when it took bytes from the base. */
  fill(ops: readonly Op[], into: Uint8Array): Promise<boolean>
  end(): void
}

function prepareProducer({
  manifest,
  codec,
  base,
}: WriteImageOptions): (segment: ArrivedSegment) => ChunkSource {
  const cache = openBase(manifest, base)
  const rawBytes = manifest.segments.reduce((most, entry) => Math.max(most, entry.rawBytes), 0)
  const buffer = Buffer.allocUnsafeSlow(rawBytes)
  return ({ entry, payload }) => {
    const content = buffer.subarray(0, entry.rawBytes)
    decompressExactly(codec, payload, content)
    const start = entry.firstChunk * manifest.image.chunkBytes
    const reader = readPayload(content, { start, baseBytes: cache?.bytes ?? 0 })
    return {
      take: reader.take,
      skip: (ops) => skipOps(reader, ops),
      fill: (ops, into) => runOps({ ops, reader, base: cache }, into),
      end: reader.end,
    }
  }
}

function openBase({ bases: [entry] }: Manifest, base: Region | undefined): BaseCache | undefined {
  if (!entry) return undefined
  if (!base) {
    throw new PineError(
      'BASE_MISMATCH',
      `the bundle needs image ${entry.digest.slice(0, 16)} to copy from, there is none`,
      {
        hint: 'take the full bundle',
      },
    )
  }
  if (base.bytes < entry.bytes) {
    throw new PineError(
      'BASE_MISMATCH',
      `the base image has ${entry.bytes} bytes, ${base.name} has ${base.bytes}`,
    )
  }
  return cacheBase(base, entry.bytes, CACHE_PAGES)
}

function decompressExactly(codec: Codec, payload: Uint8Array, into: Uint8Array): void {
  let made: number
  try {
    made = codec.decompress(payload, into)
  } catch (cause) {
    throw new PineError('BUNDLE_MALFORMED', `a segment does not decode to ${into.length} bytes`, { cause })
  }
  if (made !== into.length) {
    throw new PineError(
      'BUNDLE_MALFORMED',
      `a segment decodes to ${made} bytes, its manifest says ${into.length}`,
    )
  }
}

function skipOps(reader: PayloadReader, ops: readonly Op[]): number {
  let bytes = 0
  for (const op of ops) {
    if (op.kind === 'literal') reader.literal(op.bytes)
    bytes += op.bytes
  }
  return bytes
}

interface OpsRun {
  readonly ops: readonly Op[]
  readonly reader: PayloadReader
  readonly base: BaseCache | undefined
}

async function runOps({ ops, reader, base }: OpsRun, into: Uint8Array): Promise<boolean> {
  let at = 0
  let usesBase = false
  for (const op of ops) {
    const room = into.subarray(at, at + op.bytes)
    if (op.kind === 'zero') room.fill(0)
    else if (op.kind === 'literal') room.set(reader.literal(op.bytes))
    else if (base) {
      await base.read(room, op.baseOffset)
      usesBase = true
    }
    at += op.bytes
  }
  return usesBase
}

/** The target, one chunk at a time, through one buffer. */
function preparePlace({ image, bases }: Manifest, target: Region) {
  if (image.bytes > target.bytes) {
    throw new PineError(
      'IMAGE_TOO_BIG',
      `the image has ${image.bytes} bytes, ${target.name} has ${target.bytes}`,
    )
  }
  const buffer = Buffer.allocUnsafeSlow(Math.min(image.chunkBytes, image.bytes))
  let dirtyBytes = 0

  function isChunk(index: number, bytes: Uint8Array): boolean {
    const expected = image.chunks.subarray(index * DIGEST_BYTES, (index + 1) * DIGEST_BYTES)
    return blake3(bytes).equals(expected)
  }

  async function isRight(index: number): Promise<boolean> {
    const { offset, bytes } = chunkRange(image, index)
    const chunk = buffer.subarray(0, bytes)
    await target.read(chunk, offset)
    return isChunk(index, chunk)
  }

  async function put(index: number, fill: (into: Uint8Array) => Promise<boolean>): Promise<number> {
    const { offset, bytes } = chunkRange(image, index)
    const chunk = buffer.subarray(0, bytes)
    const usesBase = await fill(chunk)
    if (!isChunk(index, chunk)) throw wrongChunk(index, { usesBase, base: bases[0]?.digest })
    await target.write(chunk, offset)
    dirtyBytes += bytes
    if (dirtyBytes >= CHECKPOINT_BYTES) await checkpoint()
    return bytes
  }

  async function checkpoint(): Promise<void> {
    if (dirtyBytes === 0) return
    await target.flush()
    await target.dropCache()
    dirtyBytes = 0
  }

  return { isRight, put, checkpoint }
}

function wrongChunk(
  index: number,
  { usesBase, base }: { usesBase: boolean; base: string | undefined },
): PineError {
  if (usesBase && base) {
    return new PineError(
      'BASE_MISMATCH',
      `chunk ${index} comes out wrong: what it copies from is not image ${base.slice(0, 16)}`,
      { hint: 'take the full bundle' },
    )
  }
  return new PineError(
    'BUNDLE_CORRUPT',
    `chunk ${index} of the image does not have the digest the manifest names`,
  )
}
