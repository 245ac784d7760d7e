import type { Aim, Codecs } from '../core/codecs.ts'
import type { BlockSpace } from './block-space.ts'

/** Reads that may wait until there are many, so that each block is decoded once for all of them. */
export interface Reads {
  /** Nothing may look at `into` before `flush`. */
  add(read: Read): Promise<void> | undefined
  flush(): Promise<void> | undefined
}

export interface Read {
  readonly into: Uint8Array
  readonly from: number
  /** Adds to what is in `into`, once somebody has put it there. */
  readonly isPatch: boolean
  /** For reads of at most 64 KiB. */
  readonly aim?: Aim
}

const SCRATCH_BYTES = 64 * 1024
/** What waits is memory. */
const MAX_READS = 4096

export function collectReads(space: BlockSpace, codecs: Pick<Codecs, 'add' | 'adjust'>): Reads {
  const scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES)
  let reads: Read[] = []

  async function run(list: readonly Read[]): Promise<void> {
    for (const read of list) {
      if (read.isPatch) await patch(read)
      else {
        const wait = space.read(read.into, read.from)
        if (wait !== undefined) await wait
      }
    }
    space.trim()
  }

  async function patch({ into, from, aim }: Read): Promise<void> {
    for (let done = 0; done < into.length; done += SCRATCH_BYTES) {
      const part = into.subarray(done, done + SCRATCH_BYTES)
      const bytes = scratch.subarray(0, part.length)
      const wait = space.read(bytes, from + done)
      if (wait !== undefined) await wait
      if (aim) codecs.adjust(bytes, aim)
      codecs.add(part, bytes)
    }
  }

  function flush(): Promise<void> | undefined {
    if (reads.length === 0) return undefined
    const list = reads.sort((a, b) => a.from - b.from)
    reads = []
    return run(list)
  }

  return {
    add(read) {
      const wait = reads.length < MAX_READS ? undefined : flush()
      reads.push(read)
      return wait
    },
    flush,
  }
}
