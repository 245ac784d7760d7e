import type { BlockCodecs, Encoding } from '../core/encoding.ts'
import type { Extent } from './erofs-extents.ts'
import type { ImageReader } from './reader.ts'

/** What `mkfs.erofs -zlz4hc` uses unless told otherwise comes first, its best next. */
const LEVELS = [9, 12, 11, 10, 8, 7, 6, 5, 4, 3, 2, 1] as const
const DEFAULT_LEVEL = 9
const SAMPLES = 16
const SAMPLE_BYTES = 512 * 1024
/** What packs better than that, such as zeros, packs the same at every level. */
const MAX_RATIO = 8
/** Where a cluster ends depends on what follows; on 51,165 clusters of one image at most this much. */
const LOOKAHEAD_BYTES = 1024

export interface LevelSource {
  readonly reader: ImageReader
  readonly codecs: BlockCodecs
  /** The encoding of an extent at a level. */
  encodingOf(extent: Extent, level: number): Encoding
}

interface Sample {
  readonly extent: Extent
  readonly stored: Buffer
  readonly content: Buffer
}

/**
 * The level of lz4hc that an image was packed with, by packing a few of its clusters again: it is not written in it. The
 * default where none fits.
 */
export async function findLevel(source: LevelSource, files: readonly (readonly Extent[])[]): Promise<number> {
  const samples = await takeSamples(source, files)
  let best = { level: DEFAULT_LEVEL, matches: 0 }
  for (const level of LEVELS) {
    const matches = await countMatches(source, samples, level)
    if (matches > best.matches) best = { level, matches }
    if (matches === samples.length) break
  }
  return best.level
}

async function countMatches(source: LevelSource, samples: readonly Sample[], level: number): Promise<number> {
  let matches = 0
  for (const { extent, stored, content } of samples) {
    const encoded = await source.codecs.encode(source.encodingOf(extent, level), content)
    if (encoded.consumed === extent.bytes && encoded.stored.equals(stored)) matches += 1
  }
  return matches
}

async function takeSamples(source: LevelSource, files: readonly (readonly Extent[])[]): Promise<Sample[]> {
  const pairs = files.flatMap((extents) =>
    extents.flatMap((extent, index) => pairOf(extent, extents[index + 1])),
  )
  const step = Math.max(1, Math.floor(pairs.length / SAMPLES))
  const samples: Sample[] = []
  let bytes = 0
  for (const pair of pairs.filter((_, index) => index % step === 0)) {
    if (bytes >= SAMPLE_BYTES) break
    const sample = await takeSample(source, pair)
    if (sample !== undefined) samples.push(sample)
    bytes += pair.extent.bytes
  }
  return samples
}

async function takeSample(
  { reader, codecs }: LevelSource,
  { extent, next }: Pair,
): Promise<Sample | undefined> {
  const stored = await reader.at(extent.offset, extent.stored)
  const content = unpack(codecs, extent, stored)
  const following = unpack(codecs, next, await reader.at(next.offset, next.stored))
  if (content === undefined || following === undefined) return undefined
  return { extent, stored, content: Buffer.concat([content, following.subarray(0, LOOKAHEAD_BYTES)]) }
}

interface Pair {
  readonly extent: Extent
  readonly next: Extent
}

/** A full cluster, which shows most about how it was packed, and what follows it in its file. */
function pairOf(extent: Extent, next: Extent | undefined): Pair[] {
  if (extent.packing !== 'lz4' || extent.bytes > extent.stored * MAX_RATIO) return []
  if (next === undefined || next.isInline || next.bytes > next.stored * MAX_RATIO) return []
  return next.packing === 'lz4' || next.packing === 'raw' ? [{ extent, next }] : []
}

function unpack(codecs: BlockCodecs, { packing, bytes }: Extent, stored: Buffer): Buffer | undefined {
  if (packing === 'raw') return stored.subarray(0, bytes)
  const content = Buffer.allocUnsafeSlow(bytes)
  try {
    codecs.decode('lz4hc-fill', stored, content)
    return content
  } catch {
    return undefined
  }
}
