import type { BlockCodecs, Encoding } from '../core/encoding.ts'

/** A payload that decodes: `stored` bytes at `at` of a region. Which of the candidates made it, likeliest first, is open. */
export interface Payload {
  readonly at: number
  readonly stored: number
  readonly content: Buffer
  readonly candidates: readonly Encoding[]
  /** Bytes before the first that depends on the content alone, in a stored form such as this one. */
  readonly headBytes: (stored: Buffer) => number
}

/** What is at the start of a region: its payloads, and the bytes it takes together with all that is around them. */
export interface Found {
  readonly payloads: readonly Payload[]
  readonly end: number
}

export interface Decoder {
  readonly codecs: BlockCodecs
  /** Payloads with more content are left out. */
  readonly maxContent: number
}

/** A format that says by its first bytes what it is. */
export interface Format {
  readonly magic: Buffer
  /** Throws, or returns nothing, for what is damaged or not understood. */
  read(region: Buffer, decoder: Decoder): Found | undefined
}

export function candidatesOf(
  codec: Encoding['codec'],
  paramLists: readonly (readonly number[])[],
): Encoding[] {
  return paramLists.map((params) => ({ codec, params }))
}
