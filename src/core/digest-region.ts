import { createHasher, type Digest } from './digest.ts'
import type { OnProgress } from './progress.ts'
import { type Region, readParts } from './region.ts'

/** BLAKE3 of the first `bytes` of a region. */
export async function digestRegion(region: Region, bytes: number, onProgress?: OnProgress): Promise<Digest> {
  const hasher = createHasher()
  for await (const { part, position } of readParts(region, bytes)) {
    hasher.update(part)
    onProgress?.(position + part.length, bytes)
  }
  return hasher.hex()
}
