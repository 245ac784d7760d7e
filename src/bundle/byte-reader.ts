import type { ByteSource } from '../core/region.ts'

/** Exact reads over bytes that arrive in pieces of any size. Holds one piece at a time. */
export interface ByteReader {
  /** Fills `into`; fewer bytes only at the end of the source. Returns how many. */
  fill(into: Uint8Array): Promise<number>
  /** True when nothing is left. */
  atEnd(): Promise<boolean>
  /** Lets the source go before its end. */
  close(): Promise<void>
}

export function readBytes(source: ByteSource): ByteReader {
  const pieces = source[Symbol.asyncIterator]()
  let rest: Uint8Array = new Uint8Array(0)

  async function more(): Promise<boolean> {
    while (rest.length === 0) {
      const next = await pieces.next()
      if (next.done) return false
      rest = next.value
    }
    return true
  }

  return {
    async fill(into) {
      let done = 0
      while (done < into.length && (await more())) {
        const taken = rest.subarray(0, into.length - done)
        into.set(taken, done)
        rest = rest.subarray(taken.length)
        done += taken.length
      }
      return done
    },
    atEnd: async () => !(await more()),
    close: async () => void (await pieces.return?.()),
  }
}
