import type { Digest, Hashing } from './digest.ts'
import type { OnProgress } from './progress.ts'
import { type Region, readParts } from './region.ts'

export interface DigestRegionOptions {
  readonly hashing: Hashing
  /** Of the region, from its start. Default: all of it. */
  readonly bytes?: number
  readonly onProgress?: OnProgress
}

/** BLAKE3 of a region or its first bytes; the next part is read while one is hashed. */
export async function digestRegion(region: Region, options: DigestRegionOptions): Promise<Digest> {
  const { hashing, bytes = region.bytes, onProgress } = options
  const hasher = hashing.createHasher()
  for await (const { part, position } of readParts(region, bytes)) {
    hasher.update(part)
    onProgress?.(position + part.length, bytes)
  }
  return hasher.hex()
}
