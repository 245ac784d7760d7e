import type { StreamCodec } from './codec.ts'
import type { Hashing } from './digest.ts'
import type { BlockCodecs } from './encoding.ts'
import type { Shape } from './shape.ts'

/** Everything that making and applying a delta needs of the native core. */
export interface Codecs extends BlockCodecs, StreamCodec, Hashing {
  /**
   * How `target` can be made of `base`: triples of kind (0 literal, 1 copy, 2 patch), length, and place in the base (-1
   * for literals), which cover the target in order. Copies are `minCopy` bytes or longer. On another thread.
   */
  diff(base: Uint8Array, target: Uint8Array, minCopy: number): Promise<Int32Array>
  /** Gives memory back now, where V8 would late; no view of it can be used any more. Only for memory of its own. */
  release(memory: Buffer): void
  /** Changes the numbers in `bytes` that say where something is to where that has moved. Throws for a shape that is none. */
  adjust(bytes: Uint8Array, aim: Aim): void
}

/** Which numbers change, and how. Addresses are whole numbers below 2^52 either way. */
export interface Aim {
  readonly shape: Shape
  /** Ascending addresses, how far what begins at each has moved, and where the last one ends. */
  readonly map: Float64Array
  /** Addresses of the first byte, before and after. */
  readonly oldAt: number
  readonly nowAt: number
  /** Write the place itself instead of a number that counts to it: to compare code that has moved. */
  readonly bare: boolean
  /** A count for each step of the map, to which every number that points there adds one. */
  readonly uses?: Uint32Array
}
