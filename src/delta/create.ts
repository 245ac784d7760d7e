import { DEFAULT_CHUNK_BYTES, type ImageEntry, type SegmentEntry } from '../bundle/manifest.ts'
import type { ByteSink } from '../bundle/writer.ts'
import type { Codec } from '../core/codec.ts'
import { blake3, createHasher, digestOf } from '../core/digest.ts'
import type { OnProgress } from '../core/progress.ts'
import type { Region } from '../core/region.ts'
import { cacheBase } from './base-cache.ts'
import { indexBase } from './base-index.ts'
import { createMatcher, type Matcher } from './match.ts'
import { createRollingHash } from './rolling.ts'
import { createSegmenter, type RawSegment } from './segmenter.ts'

export interface DeltaOptions {
  readonly codec: Codec
  /** The image that hosts have; without it the bundle is full. Exactly as long as the image. */
  readonly base?: Region
  /** Exactly as long as the image. */
  readonly target: Region
  /** zstd level, 1 to 19. Default 19 with a base, 9 without. */
  readonly level?: number
  /** Default 1 MiB. */
  readonly chunkBytes?: number
  /** Content of a segment before compression, at most. Default a little over 4 MiB. */
  readonly segmentBytes?: number
  readonly onProgress?: OnProgress
  readonly signal?: AbortSignal
}

/** What a manifest says of image and segments. */
export interface DeltaTables {
  readonly image: Omit<ImageEntry, 'fs'>
  readonly segments: readonly SegmentEntry[]
}

/** Four chunks of literals and room for their operations. */
const DEFAULT_SEGMENT_BYTES = 4 * DEFAULT_CHUNK_BYTES + 64 * 1024
const BLOCK_BYTES = 2048
const CACHE_PAGES = 128
/** Compressions under way at once: two cores, and memory for two segments. */
const PARALLEL = 2

/**
 * Reads the base once and the target once; the bytes of the segments go to `sink` in order. The same images, codec
 * version and options give the same bytes. Memory: the index (see `indexBase`) and some 100 MiB.
 */
export async function createDelta(options: DeltaOptions, sink: ByteSink): Promise<DeltaTables> {
  const { target, chunkBytes = DEFAULT_CHUNK_BYTES, signal, onProgress } = options
  const matcher = await prepareMatcher(options.base)
  const output = startOutput(options, sink)
  const segmenter = createSegmenter({
    chunkBytes,
    segmentBytes: options.segmentBytes ?? DEFAULT_SEGMENT_BYTES,
  })
  const image = createHasher()
  const digests: Buffer[] = []
  const buffer = Buffer.allocUnsafeSlow(chunkBytes)
  try {
    for (let start = 0; start < target.bytes; start += chunkBytes) {
      signal?.throwIfAborted()
      const chunk = buffer.subarray(0, Math.min(chunkBytes, target.bytes - start))
      await target.read(chunk, start)
      image.update(chunk)
      digests.push(blake3(chunk))
      const full = segmenter.add(await matcher.match(chunk, start), chunk)
      if (full) await output.add(full)
      onProgress?.(start + chunk.length, target.bytes)
    }
    await output.add(segmenter.end())
    const segments = await output.end()
    const chunks = Buffer.concat(digests)
    return { image: { bytes: target.bytes, digest: image.hex(), chunkBytes, chunks }, segments }
  } finally {
    await output.settle()
  }
}

async function prepareMatcher(base: Region | undefined): Promise<Matcher> {
  const hash = createRollingHash(BLOCK_BYTES)
  if (!base) return createMatcher(hash)
  const index = await indexBase(base, hash)
  return createMatcher(hash, { index, base: cacheBase(base, base.bytes, CACHE_PAGES) })
}

/** Compresses a few segments at a time and writes them in order. */
function startOutput({ codec, base, level = base ? 19 : 9 }: DeltaOptions, sink: ByteSink) {
  const table: SegmentEntry[] = []
  const waiting: { raw: RawSegment; frame: Promise<Buffer> }[] = []

  async function writeFirst(): Promise<void> {
    const first = waiting.shift()
    if (!first) return
    const { firstChunk, chunks, content } = first.raw
    const frame = await first.frame
    table.push({ bytes: frame.length, rawBytes: content.length, digest: digestOf(frame), firstChunk, chunks })
    await sink(frame)
  }

  return {
    async add(raw: RawSegment): Promise<void> {
      waiting.push({ raw, frame: codec.compress(raw.content, level) })
      if (waiting.length >= PARALLEL) await writeFirst()
    },
    async end(): Promise<SegmentEntry[]> {
      while (waiting.length > 0) await writeFirst()
      return table
    },
    /** After a failure: nothing may still run on our buffers. */
    settle: async () => void (await Promise.allSettled(waiting.map(({ frame }) => frame))),
  }
}
