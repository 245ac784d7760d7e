import { CODEC_NAMES, type CodecName } from '../../../src/core/encoding.ts'
import { systemBytes } from '../../native/content.ts'

/** C code in this process: what it does wrong ends the process, and that is the finding. */

export const CONTENT = systemBytes(6000, 8)
export const PARAMS: Readonly<Record<CodecName, readonly number[]>> = {
  ...{ zstd: [3, 1], zlib: [9, 15, 0], deflate: [6, 15, 8, 0], xz: [6, 65_536, 4, 1], lz4: [], lz4hc: [9] },
  ...{ 'lz4hc-fill': [9, 4096, 0], 'zstd-mt': [1, 1], gzip: [9] },
}
/** Where nobody may write. */
const GUARD = 64
const GUARD_BYTE = 0xa5

/** Room for so many bytes between others that must not change. */
export function guarded(bytes: number): { into: Buffer; isIntact: () => boolean } {
  const whole = Buffer.alloc(bytes + 2 * GUARD, GUARD_BYTE)
  const ends = [whole.subarray(0, GUARD), whole.subarray(GUARD + bytes)]
  return {
    into: whole.subarray(GUARD, GUARD + bytes),
    isIntact: () => ends.every((end) => end.every((byte) => byte === GUARD_BYTE)),
  }
}

/** The core says no with a plain `Error`; every other error is one of the caller, and goes on. */
export function refusalOf(error: unknown): string {
  if (error instanceof Error && error.constructor === Error) return error.message
  throw error
}

/** What it gives, or why it does not. */
export function attempt<T>(action: () => T): T | string {
  try {
    return action()
  } catch (error) {
    return refusalOf(error)
  }
}

export function codecAt(number: number | undefined): CodecName {
  return CODEC_NAMES[(number ?? 0) % CODEC_NAMES.length] ?? 'zstd'
}
