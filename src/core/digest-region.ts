import { createHasher, type Digest } from './digest.ts'
import type { OnProgress } from './progress.ts'
import type { Region } from './region.ts'

const READ_BYTES = 1024 * 1024

/** BLAKE3 of the first `bytes` of a region, read through one reused buffer. */
export async function digestRegion(region: Region, bytes: number, onProgress?: OnProgress): Promise<Digest> {
  const hasher = createHasher()
  const buffer = Buffer.allocUnsafeSlow(READ_BYTES)
  for (let done = 0; done < bytes; ) {
    const part = buffer.subarray(0, Math.min(READ_BYTES, bytes - done))
    await region.read(part, done)
    hasher.update(part)
    done += part.length
    onProgress?.(done, bytes)
  }
  return hasher.hex()
}
