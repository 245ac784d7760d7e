import type { Codecs } from '../core/codecs.ts'
import { blockCodecs, streamCodec } from './codecs.ts'
import { native, nativeHashing } from './native.ts'

/** All of the native core that deltas need. Throws `NATIVE_MISSING`. */
export function nativeCodecs(): Codecs {
  const core = native()
  return {
    ...blockCodecs(),
    ...streamCodec(),
    ...nativeHashing(),
    adjust: (bytes, { shape, map, oldAt, nowAt, bare, uses }) =>
      core.adjust(bytes, Float64Array.from(shape), map, oldAt, nowAt, bare, uses),
    release: core.release,
    diff: (base, target, minCopy) => core.diff(base, target, minCopy),
  }
}
