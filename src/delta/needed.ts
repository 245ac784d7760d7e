import type { ChunkWriter } from './chunks.ts'
import type { Op, Program } from './program.ts'

/** A stream or a block whose content is being made. */
interface Inside {
  /** -1 for a block. */
  readonly stream: number
  left: number
  readonly isNeeded: boolean
}

interface Walk {
  readonly chunks: Pick<ChunkWriter, 'needs'>
  readonly needed: number[]
  /** Streams that take from streams. */
  readonly nested: { readonly from: number; readonly by: number }[]
  readonly inside: Inside[]
  position: number
}

/** A 1 for each stream some of whose bytes end up in a chunk that has to be made, directly or inside another stream. */
export function findNeededStreams(program: Program, chunks: Pick<ChunkWriter, 'needs'>): Uint8Array {
  const walk: Walk = { chunks, needed: [], nested: [], inside: [], position: 0 }
  for (const op of program.ops()) visit(walk, op)
  spread(walk)
  return Uint8Array.from(walk.needed)
}

function visit(walk: Walk, op: Op): void {
  switch (op.kind) {
    case 'open':
      walk.needed.push(0)
      return
    case 'drop':
    case 'map':
    case 'aim':
      return
    case 'feed':
      if (op.bytes > 0) walk.inside.push({ stream: op.stream, left: op.bytes, isNeeded: false })
      return
    case 'pack': {
      // Where content is kept from block to block it is made in any case.
      const isNeeded = op.kept > 0 || op.bytes !== op.consumed || walk.chunks.needs(walk.position, op.stored)
      if (op.bytes > 0) walk.inside.push({ stream: -1, left: op.bytes, isNeeded })
      walk.position += op.stored
      return
    }
    default:
      visitContent(walk, op)
  }
}

function visitContent(walk: Walk, op: Extract<Op, { bytes: number }>): void {
  const within = walk.inside.at(-1)
  if (op.kind === 'take') visitTake(walk, op, within)
  if (within === undefined) walk.position += op.bytes
  else {
    within.left -= op.bytes
    if (within.left === 0) walk.inside.pop()
  }
}

function visitTake(
  { chunks, needed, nested, position }: Walk,
  { stream, bytes }: { readonly stream: number; readonly bytes: number },
  within: Inside | undefined,
): void {
  if (within !== undefined && within.stream >= 0) nested.push({ from: stream, by: within.stream })
  else if (within ? within.isNeeded : chunks.needs(position, bytes)) needed[stream] = 1
}

/** What a needed stream takes from is needed; streams in streams in streams take another round. */
function spread({ needed, nested }: Walk): void {
  for (let changed = true; changed; ) {
    changed = false
    for (const { from, by } of nested) {
      if (needed[by] !== 1 || needed[from] === 1) continue
      needed[from] = 1
      changed = true
    }
  }
}
