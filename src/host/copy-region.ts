import type { Digest } from '../core/digest.ts'
import type { OnProgress } from '../core/progress.ts'
import { type Region, readParts } from '../core/region.ts'
import { nativeHashing } from './native.ts'

/** Writes all of `from` at that place, and returns the digest of what was read. */
export async function copyRegion(
  from: Region,
  to: Region,
  offset: number,
  onProgress: OnProgress,
): Promise<Digest> {
  const hasher = nativeHashing().createHasher()
  for await (const { part, position } of readParts(from, from.bytes)) {
    hasher.update(part)
    await to.write(part, offset + position)
    onProgress(position + part.length, from.bytes)
  }
  return hasher.hex()
}
