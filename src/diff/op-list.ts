import type { Encoding } from '../core/encoding.ts'
import type { Shape } from '../core/shape.ts'
import { MAX_TAKE_BYTES } from '../delta/data.ts'
import { type Block, type ContentOp, type DropOp, isAside, type Op } from '../delta/program.ts'
import { encodeHead, writeOps } from '../delta/write-program.ts'

/** Where numbers in `moved` bytes point to. */
export interface OpAim {
  readonly map: Float64Array
  readonly shape: Shape
  /** Address of a byte of the base, less its place in the base space. */
  readonly ahead: number
  /** Of the next byte that is made. */
  readonly nowAt: number
}

/** The operations of a program, as few as they can be. */
export interface OpList {
  add(op: Op): void
  /** Makes the next `moved` follow `aim`. */
  aim(aim: OpAim): void
  /** What comes now does not continue what was before: a block or a piece of a stream ends here. */
  fence(): void
  /** The number of an encoding. */
  numberOf(encoding: Encoding): number
  /** The whole program. */
  end(blocks: readonly Block[]): Buffer
}

export function listOps(): OpList {
  const ops = writeOps()
  const encodings = new Map<string, { index: number; encoding: Encoding }>()
  /** Not written yet: the next one may continue it. */
  let last: ContentOp | DropOp | undefined
  let aimed: OpAim | undefined

  function flush(): void {
    if (last) ops.add(last)
    last = undefined
  }

  function add(op: Op): void {
    if (!isContent(op) && op.kind !== 'drop') {
      flush()
      ops.add(op)
      return
    }
    if (isContent(op) && aimed) aimed = { ...aimed, nowAt: aimed.nowAt + op.bytes }
    if (last && continues(last, op)) last = { ...last, bytes: last.bytes + op.bytes }
    else {
      flush()
      last = op
    }
  }

  function aim(next: OpAim): void {
    const { map, shape, ahead, nowAt } = next
    const isSame = aimed?.shape === shape && aimed.ahead === ahead && aimed.nowAt === nowAt
    if (aimed?.map !== map) add({ kind: 'map', map })
    if (aimed?.map !== map || !isSame) add({ kind: 'aim', shape, ahead, nowAt })
    aimed = next
  }

  return {
    add,
    aim,
    fence: flush,
    numberOf(encoding) {
      const key = `${encoding.codec} ${encoding.params.join(' ')}`
      const found = encodings.get(key) ?? { index: encodings.size, encoding }
      encodings.set(key, found)
      return found.index
    },
    end(blocks) {
      flush()
      const head = { encodings: [...encodings.values()].map(({ encoding }) => encoding), blocks }
      return Buffer.concat([encodeHead(head), ops.end()])
    },
  }
}

function isContent(op: Op): op is ContentOp {
  return op.kind !== 'pack' && !isAside(op)
}

/** Two `moved` are never one: a number that lies in both of them stays as it is. */
function continues(last: ContentOp | DropOp, op: ContentOp | DropOp): boolean {
  if (last.kind !== op.kind || last.kind === 'moved' || last.bytes + op.bytes > MAX_TAKE_BYTES) return false
  if ('from' in last && 'from' in op) return last.from + last.bytes === op.from
  if ('stream' in last && 'stream' in op) return last.stream === op.stream
  return true
}
