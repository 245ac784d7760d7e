import { lastStart } from '../core/search.ts'
import { type Block, malformed, type Program } from './program.ts'
import { type RangeMax, rangeMax } from './range-max.ts'

/** Content and stored bytes of one block, one feed, and of what a stream holds back, at most. */
export const MAX_BLOCK_BYTES = 16 * 1024 * 1024
/** A block that is only in the base is one deep. */
const MAX_DEPTH = 3

export interface CheckedBlocks {
  /** Where the base space ends. */
  readonly end: number
  /** Memory for decoding one block, and the blocks that its stored bytes are in. */
  readonly decodeBytes: number
}

interface Row {
  readonly baseBytes: number
  /** Where the content of each block starts. */
  readonly starts: number[]
  readonly depths: RangeMax
  readonly decodes: RangeMax
  end: number
}

/** Throws `BUNDLE_MALFORMED` for a block whose stored bytes do not lie before it, and for one that is in too many others. */
export function checkBlocks({ blocks }: Pick<Program, 'blocks'>, baseBytes: number): CheckedBlocks {
  const [depths, decodes] = [rangeMax(blocks.length), rangeMax(blocks.length)]
  const row: Row = { baseBytes, starts: [], depths, decodes, end: baseBytes }
  for (const block of blocks) addBlock(row, block)
  return { end: row.end, decodeBytes: decodes.between(0, blocks.length - 1) }
}

function addBlock(row: Row, block: Block): void {
  const own = ownBytes(row, block)
  const index = row.starts.length
  const outer = outerOf(row, block)
  if (outer.depth >= MAX_DEPTH) throw malformed(`has a base block that is in ${outer.depth} others`)
  row.depths.set(index, outer.depth + 1)
  row.decodes.set(index, outer.decodeBytes + own)
  row.starts.push(row.end)
  row.end += block.content
}

/** Stored bytes and content; the decoder of xz copies what it has made. */
function ownBytes({ end }: Row, { codec, runs, content }: Block): number {
  if (runs.some(({ from, bytes }) => from < 0 || bytes < 1 || from + bytes > end))
    throw malformed('has a base block that is outside the base')
  const stored = runs.reduce((sum, { bytes }) => sum + bytes, 0)
  if (stored < 1 || content < 1 || stored > MAX_BLOCK_BYTES || content > MAX_BLOCK_BYTES)
    throw malformed(`has a base block of ${stored} bytes for ${content}`)
  return stored + (codec === 'xz' ? 2 * content : content)
}

/** The most of those that the stored bytes are in. */
function outerOf({ baseBytes, starts, depths, decodes }: Row, { runs }: Block) {
  const outer = { depth: 0, decodeBytes: 0 }
  const indexAt = (at: number): number => lastStart(starts.length, at, (index) => starts[index])
  for (const { from, bytes } of runs) {
    if (from + bytes <= baseBytes) continue
    const [first, last] = [indexAt(Math.max(from, baseBytes)), indexAt(from + bytes - 1)]
    outer.depth = Math.max(outer.depth, depths.between(first, last))
    outer.decodeBytes = Math.max(outer.decodeBytes, decodes.between(first, last))
  }
  return outer
}
