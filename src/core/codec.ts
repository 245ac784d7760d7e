/** The compression the bundle format uses. Passed in, so that only src/host knows where it comes from. */
export interface Codec {
  /** Of the zstd library inside, such as `1.5.4`. */
  readonly version: string
  /** One zstd frame. `bytes` must not change until it resolves; several calls run in parallel. */
  compress(bytes: Uint8Array, level: number): Promise<Buffer>
  /** Decodes exactly one frame into `into`; returns how many bytes it made. Throws when it does not fit or is not zstd. */
  decompress(bytes: Uint8Array, into: Uint8Array): number
}
