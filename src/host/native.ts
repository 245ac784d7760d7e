import { createRequire } from 'node:module'
import type { Codec } from '../core/codec.ts'
import { PineError } from '../core/error.ts'

/** What native/pine.c exports. The functions on files throw an `Error` with an errno name as `code`. */
interface NativeCore {
  zstdVersion(): string
  compress(bytes: Uint8Array, level: number): Promise<Buffer>
  decompress(bytes: Uint8Array, into: Uint8Array): number
  /** The kernel may forget the cached pages of the open file; dirty pages stay, so flush first. */
  fadvise(fd: number): void
  /** Size of an open file or block device. */
  deviceBytes(fd: number): number
  /** Takes the exclusive lock of an open file, held until it is closed; false while another open of it has it. */
  tryLock(fd: number): boolean
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

/** zstd from the native core. Throws `NATIVE_MISSING`. */
export function nativeCodec(): Codec {
  const core = native()
  return {
    version: core.zstdVersion(),
    compress: (bytes, level) => core.compress(bytes, level),
    decompress: (bytes, into) => core.decompress(bytes, into),
  }
}
