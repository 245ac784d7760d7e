import { encodePayload, type Op, type OpWriter, writeOps } from './ops.ts'

/** A segment before compression. */
export interface RawSegment {
  readonly firstChunk: number
  readonly chunks: number
  readonly content: Buffer
}

export interface Segmenter {
  /** Adds the next chunk; returns a segment when one is full, which is then without this chunk. */
  add(ops: readonly Op[], chunk: Buffer): RawSegment | undefined
  /** The last segment. */
  end(): RawSegment
}

/** So that a resume never has far to go back. */
const MAX_CHUNKS = 256

/**
 * Gathers chunks until their operations and literals fill a segment: the literals of many small changes are compressed
 * together. A segment holds at least one chunk.
 */
export function createSegmenter({
  chunkBytes,
  segmentBytes,
}: {
  chunkBytes: number
  segmentBytes: number
}): Segmenter {
  let firstChunk = 0
  let chunks = 0
  let ops: OpWriter = writeOps(0)
  let literals: Buffer[] = []
  let literalBytes = 0

  function cut(): RawSegment {
    const segment = { firstChunk, chunks, content: encodePayload(ops.end(), Buffer.concat(literals)) }
    firstChunk += chunks
    chunks = 0
    ops = writeOps(firstChunk * chunkBytes)
    literals = []
    literalBytes = 0
    return segment
  }

  function append(list: readonly Op[], chunk: Buffer): void {
    let at = 0
    for (const op of list) {
      ops.add(op)
      if (op.kind === 'literal') {
        // The caller reuses the chunk.
        literals.push(Buffer.from(chunk.subarray(at, at + op.bytes)))
        literalBytes += op.bytes
      }
      at += op.bytes
    }
    chunks += 1
  }

  return {
    add(list, chunk) {
      const isFull = chunks === MAX_CHUNKS || literalBytes + ops.bytes() + costOf(list) > segmentBytes
      const full = chunks > 0 && isFull ? cut() : undefined
      append(list, chunk)
      return full
    },
    end: cut,
  }
}

/** Upper bound of what the operations add to a segment. */
function costOf(ops: readonly Op[]): number {
  return ops.reduce((sum, op) => sum + 16 + (op.kind === 'literal' ? op.bytes : 0), 0)
}
