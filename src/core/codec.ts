export type PackKind = 'zstd' | 'lzma2'

/** What LZMA takes from the bits around a byte; what is left out is as the level has it. */
export interface LzmaModel {
  readonly lc?: number
  readonly lp?: number
  readonly pb?: number
}

/** One compressed stream, cut into pieces that are unpacked one after another: each may refer to all before it. */
export interface StreamCodec {
  /** `level` is 1..22 for zstd, 0..9 for lzma2; the window is 4 KiB to 16 MiB. The model counts for lzma2 only. */
  openPacker(kind: PackKind, level: number, windowBytes: number, model?: LzmaModel): Packer
  /** Takes at most so large a window. */
  openUnpacker(kind: PackKind, windowBytes: number): Unpacker
  /** Each byte of `into` grows by that of `difference`, modulo 256. Both are equally long. */
  add(into: Uint8Array, difference: Uint8Array): void
}

export interface Packer {
  /** The piece for `bytes`, which must not change until it resolves. On another thread; one call at a time. */
  push(bytes: Uint8Array): Promise<Buffer>
  /** Not while a push runs. */
  close(): void
}

export interface Unpacker {
  /** Fills exactly `into` from exactly `packed`, or throws; after that it is spoiled. */
  unpack(packed: Uint8Array, into: Uint8Array): void
  close(): void
}
