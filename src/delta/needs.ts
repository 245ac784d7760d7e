import type { Variant } from '../bundle/manifest.ts'
import type { SegmentEntry } from '../bundle/manifest-parts.ts'
import type { BlockCodecs } from '../core/encoding.ts'
import { CACHED_PAGES_BYTES, KEPT_BYTES } from './block-space.ts'
import { DATA_SEGMENT_BYTES } from './data.ts'
import { AHEAD_BYTES } from './jobs.ts'
import { malformed, type ProgramHead } from './program.ts'
import type { ProgramNeeds } from './program-needs.ts'
import { FED_AHEAD_BYTES } from './streams.ts'

/** Encoders of blocks that are counted, whatever number of cores a host has. */
const COUNTED_ENCODERS = 3
/** One is gathered while one is hashed and written. */
export const OPEN_CHUNKS = 2

export interface MemoryOptions {
  readonly needs: ProgramNeeds
  readonly program: ProgramHead
  readonly variant: Pick<Variant, 'windowBytes' | 'programSegments' | 'segments'>
  readonly chunkBytes: number
  readonly codecs: Pick<BlockCodecs, 'encoderBytes'>
}

/**
 * Memory that `writeImage` and the reader hold at once, at most. Throws `BUNDLE_MALFORMED` for an encoding that no encoder
 * has.
 */
export function memoryOf(options: MemoryOptions): number {
  const { needs, variant, chunkBytes } = options
  return (
    programBytes(variant) +
    largest(variant.segments) +
    DATA_SEGMENT_BYTES +
    2 * variant.windowBytes +
    OPEN_CHUNKS * chunkBytes +
    2 * (CACHED_PAGES_BYTES + KEPT_BYTES) +
    needs.baseBlockBytes +
    needs.selfBlockBytes +
    COUNTED_ENCODERS * needs.packBytes +
    AHEAD_BYTES +
    needs.streamBytes +
    FED_AHEAD_BYTES +
    encodersBytes(options)
  )
}

/** The program itself, unpacked. */
export function programBytes({
  segments,
  programSegments,
}: Pick<Variant, 'programSegments' | 'segments'>): number {
  return segments.slice(0, programSegments).reduce((sum, { rawBytes }) => sum + rawBytes, 0)
}

function largest(segments: readonly SegmentEntry[]): number {
  return segments.reduce((most, { bytes }) => Math.max(most, bytes), 0)
}

function encodersBytes({ needs, program: { encodings }, codecs }: MemoryOptions): number {
  const { packContent, wholeContent, openStreams } = needs
  for (const index of encodings.keys()) bytesOf(index, 0)
  return (
    COUNTED_ENCODERS * most(packContent, bytesOf) +
    most(wholeContent, bytesOf) +
    // An encoder that takes its content in pieces holds the same whatever their length.
    [...openStreams].reduce((sum, [index, count]) => sum + count * bytesOf(index, 0), 0)
  )

  function bytesOf(index: number, contentBytes: number): number {
    const encoding = encodings[index]
    if (encoding === undefined) throw malformed(`has no encoding ${index}`)
    try {
      return codecs.encoderBytes(encoding, contentBytes)
    } catch (cause) {
      throw malformed(`has impossible params of ${encoding.codec}: ${encoding.params.join(' ')}`, cause)
    }
  }
}

function most(
  contents: ReadonlyMap<number, number>,
  bytesOf: (index: number, contentBytes: number) => number,
): number {
  return Math.max(0, ...[...contents].map(([index, contentBytes]) => bytesOf(index, contentBytes)))
}
