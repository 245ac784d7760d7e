import type { BlockCodecs, Encoding } from '../core/encoding.ts'

/** Hosts with little memory refuse a bundle for which they need more. */
const MAX_ENCODER_BYTES = 64 * 1024 * 1024

/** Whether hosts can be asked to encode so much content again. */
export function isAffordable(
  codecs: Pick<BlockCodecs, 'encoderBytes'>,
  encoding: Encoding,
  contentBytes: number,
): boolean {
  try {
    return codecs.encoderBytes(encoding, contentBytes) <= MAX_ENCODER_BYTES
  } catch {
    // There is no such encoder.
    return false
  }
}
