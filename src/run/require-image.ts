import type { Digest } from '../core/digest.ts'
import { digestRegion } from '../core/digest-region.ts'
import { PineError } from '../core/error.ts'
import type { OnProgress } from '../core/progress.ts'
import type { Region } from '../core/region.ts'
import { nativeHashing } from '../host/native.ts'
import type { SlotName } from '../model/boot-state.ts'

interface Expected {
  slot: SlotName
  digest: Digest
  bytes: number
  /** Where the disk lost it. */
  hint: string
}

/** Reads from the device, not from the cache that the writes left behind. Throws `IMAGE_MISMATCH`. */
export async function requireImage(
  region: Region,
  { slot, digest, bytes, hint }: Expected,
  onProgress: OnProgress,
): Promise<void> {
  await region.dropCache()
  const found = await digestRegion(region, { hashing: nativeHashing(), bytes, onProgress })
  if (found === digest) return
  throw new PineError(
    'IMAGE_MISMATCH',
    `slot ${slot} reads back as ${found.slice(0, 12)}, expected ${digest.slice(0, 12)}`,
    { hint: `the disk did not keep what was written: look at ${hint}` },
  )
}
