import { lastStart } from '../core/search.ts'
import { malformed } from './program.ts'

/** The image so far and the blocks in it, by the content addresses of `Op`. */
export interface SelfSpace {
  /** A block whose stored bytes end at `storedEnd` of the image. */
  add(storedEnd: number, content: number): void
  /**
   * All that is read must be in chunks that are complete: what lies before `complete` in the image. Throws
   * `BUNDLE_MALFORMED`.
   */
  check(op: { from: number; bytes: number }, complete: number): void
}

export function selfSpace(imageBytes: number): SelfSpace {
  /** Where each block's content starts, and where its stored bytes end. */
  const starts: number[] = []
  const ends: number[] = []
  let bytes = imageBytes

  return {
    add(storedEnd, content) {
      starts.push(bytes)
      ends.push(storedEnd)
      bytes += content
    },
    check(op, complete) {
      const to = op.from + op.bytes
      if (op.from >= 0 && to <= complete) return
      const end = ends[lastStart(starts.length, to - 1, (index) => starts[index])]
      const isBlocks = op.from >= imageBytes && to <= bytes && end !== undefined && end <= complete
      if (!isBlocks)
        throw malformed(`copies ${op.bytes} bytes from ${op.from} of the image before they exist`)
    },
  }
}
