import type { Codecs } from '../../src/core/codecs.ts'
import { numbers } from '../native/content.ts'
import { codecs } from '../support/bundles.ts'

const LONGEST_MS = 4

/** The same codecs, in which what runs beside something else ends in another order. */
export function slowly(seed: number): Codecs {
  const next = numbers(seed)
  const wait = () => new Promise<void>((resolve) => setTimeout(resolve, next(LONGEST_MS)))
  return {
    ...codecs,
    encode: async (encoding, content) => {
      const made = await codecs.encode(encoding, content)
      await wait()
      return made
    },
    diff: async (base, target, minCopy) => {
      await wait()
      return await codecs.diff(base, target, minCopy)
    },
    blake3Async: async (bytes) => {
      await wait()
      return await codecs.blake3Async(bytes)
    },
  }
}
