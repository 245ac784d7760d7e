/** What turns content into stored bytes. The order is the number each has in a bundle. */
export const CODEC_NAMES = [
  'zstd',
  'zlib',
  'deflate',
  'xz',
  'lz4',
  'lz4hc',
  'lz4hc-fill',
  'zstd-mt',
  'gzip',
] as const
export type CodecName = (typeof CODEC_NAMES)[number]

/** A codec with every parameter its output depends on; what they mean is in docs/bundle-format.md. */
export interface Encoding {
  readonly codec: CodecName
  readonly params: readonly number[]
}

export interface Encoded {
  readonly stored: Buffer
  /** Bytes of content in it; less than given only for `lz4hc-fill`. */
  readonly consumed: number
}

/** Content to stored bytes and back, bit for bit the same on every host with the same fingerprints. */
export interface BlockCodecs {
  /**
   * Which implementation this is, such as `1.5.4-1a2b3c4d`: the version of the library, and the start of the digest of
   * what it makes of fixed input.
   */
  fingerprint(codec: CodecName): string
  /** On another thread; `content` must not change until it resolves. Several calls run in parallel. */
  encode(encoding: Encoding, content: Uint8Array): Promise<Encoded>
  /**
   * Bytes of memory that an encoder holds at most, beside content of `contentBytes` or less and its output. Throws for
   * params with which there is no encoder.
   */
  encoderBytes(encoding: Encoding, contentBytes: number): number
  /** Fills exactly `into`, or throws. */
  decode(codec: CodecName, stored: Uint8Array, into: Uint8Array): void
  /** Where the length is not known: bytes of content written to `into`; throws when it is too short. */
  decodeUpTo(codec: CodecName, stored: Uint8Array, into: Uint8Array): number
  openEncoder(encoding: Encoding): StreamEncoder
}

/** Content in pieces to one stream of stored bytes; what each piece gives is the same on every host. */
export interface StreamEncoder {
  push(content: Uint8Array, last: boolean): Promise<Buffer>
  close(): void
}
