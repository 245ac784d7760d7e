import { createRequire } from 'node:module'
import { type Hasher, type Hashing, hashWith } from '../core/digest.ts'
import type { Encoded } from '../core/encoding.ts'
import { PineError } from '../core/error.ts'

/** Made by the native core, and only of use to it. */
type HasherHandle = object
type StreamHandle = object
type UnpackerHandle = object

/** Only here are codecs numbers: their place in `CODEC_NAMES`. What throws does so with the code `ECODEC`. */
interface NativeCodecs {
  /** Of the libraries inside. */
  versions(): Readonly<Record<'zstd' | 'zlib' | 'lzma' | 'lz4', string>>
  encode(codec: number, params: readonly number[], content: Uint8Array): Promise<Encoded>
  encodeSync(codec: number, params: readonly number[], content: Uint8Array): Encoded
  /** See `BlockCodecs.encoderBytes`. */
  encoderBytes(codec: number, params: readonly number[], contentBytes: number): number
  /** All of `stored`; returns the bytes written to `into`. */
  decode(codec: number, stored: Uint8Array, into: Uint8Array): number
  /** Each byte of `into` grows by that of `difference`, modulo 256. */
  add(into: Uint8Array, difference: Uint8Array): void
  /** Negative when the length is not known. */
  openEncoder(codec: number, params: readonly number[], contentBytes: number): StreamHandle
  /** `kind` is 0 for zstd, 1 for LZMA2. `model` are lc, lp and pb, negative for what the level sets. */
  openPacker(
    kind: number,
    level: number,
    windowBytes: number,
    ...model: [number, number, number]
  ): StreamHandle
  /** Throws `EBUSY` while another push runs. */
  streamPush(handle: StreamHandle, bytes: Uint8Array, last: boolean): Promise<Buffer>
  streamClose(handle: StreamHandle): void
  openUnpacker(kind: number, windowBytes: number): UnpackerHandle
  unpackerUnpack(handle: UnpackerHandle, packed: Uint8Array, into: Uint8Array): void
  unpackerClose(handle: UnpackerHandle): void
}

/** What native/pine.c exports. The functions on files throw an `Error` with an errno name as `code`. */
interface NativeCore extends NativeCodecs {
  /** See `Codecs.release`. */
  release(bytes: Uint8Array): void
  blake3(bytes: Uint8Array): Buffer
  blake3Async(bytes: Uint8Array): Promise<Buffer>
  /** With vectors of at most that many lanes: 1, 4, 8 or 16. */
  blake3Lanes(bytes: Uint8Array, lanes: number): Buffer
  createHasher(): HasherHandle
  hasherUpdate(handle: HasherHandle, bytes: Uint8Array): void
  /** Of what was fed so far. */
  hasherDigest(handle: HasherHandle): Buffer
  /** See `Codecs.diff`. */
  diff(base: Uint8Array, target: Uint8Array, minCopy: number): Promise<Int32Array>
  /** See `Codecs.adjust`. */
  adjust(
    bytes: Uint8Array,
    shape: Float64Array,
    map: Float64Array,
    oldAt: number,
    newAt: number,
    bare: boolean,
    uses: Uint32Array | undefined,
  ): void
  /** The kernel may forget the cached pages of the open file; dirty pages stay, so flush first. */
  fadvise(fd: number): void
  /** Size of an open file or block device. */
  deviceBytes(fd: number): number
  /** Takes the exclusive lock of an open file, held until it is closed; false while another open of it has it. */
  tryLock(fd: number): boolean
  /** Of each piece of the file: logical, physical, bytes, flags as in linux/fiemap.h. */
  extents(fd: number): Promise<Float64Array>
  /** Blocks for that range, which read as zeros; the file grows to its end. */
  allocate(fd: number, offset: number, bytes: number): Promise<void>
  /** Frees the whole blocks of that range; it reads as zeros, and the file stays as long as it is. */
  punch(fd: number, offset: number, bytes: number): Promise<void>
  /** 1: nobody can write to the file, rename or remove it. */
  setImmutable(fd: number, on: 0 | 1): Promise<void>
  /** All of the file system of an open file or folder comes to its place on the disk, out of the journal. */
  freezeThaw(fd: number): Promise<void>
}

const NAME = `linux-${process.arch}.node`
// Beside the one-file bundle, and from the source tree.
const PLACES = [`./native/${NAME}`, `../../dist/native/${NAME}`]

const requireFrom = createRequire(import.meta.url)
let loaded: NativeCore | undefined

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'MODULE_NOT_FOUND'
}

function load(): NativeCore {
  for (const place of PLACES) {
    try {
      return requireFrom(place) as NativeCore
    } catch (cause) {
      if (!isMissing(cause)) throw nativeMissing(`${place} does not load`, cause)
    }
  }
  throw nativeMissing(`no native core for ${process.platform} ${process.arch}`)
}

function nativeMissing(message: string, cause?: unknown): PineError {
  const hint = 'install the pine-update package for this CPU, or build it from source with "npm run build"'
  return new PineError('NATIVE_MISSING', message, { hint, cause })
}

/** Loads the native core once. Throws `NATIVE_MISSING`. */
export function native(): NativeCore {
  loaded ??= load()
  return loaded
}

/** BLAKE3 from the native core, with the widest vectors of this CPU. Throws `NATIVE_MISSING`. */
export function nativeHashing(): Hashing {
  const core = native()
  return { blake3: core.blake3, blake3Async: core.blake3Async, createHasher: () => nativeHasher(core) }
}

/** For digests of this process; without a native core, what cannot do without will say so. */
export function preferNativeHashing(): void {
  try {
    hashWith(nativeHashing())
  } catch (error) {
    if (!(error instanceof PineError)) throw error
  }
}

function nativeHasher(core: NativeCore): Hasher {
  const handle = core.createHasher()
  return {
    update: (bytes) => core.hasherUpdate(handle, bytes),
    hex: () => core.hasherDigest(handle).toString('hex'),
  }
}
