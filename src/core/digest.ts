// The package's main file compiles its WebAssembly when it is imported; this one waits for the first hash.
import { getWasm } from 'blake3/dist/node/wasm.js'

/** A BLAKE3 digest as 64 lower-case hex digits. */
export type Digest = string

export const DIGEST_BYTES = 32

/** WebAssembly memory only grows, and every call copies its input there: larger input goes in pieces of this. */
const PIECE_BYTES = 256 * 1024

/** BLAKE3 of `bytes`, 32 bytes. */
export function blake3(bytes: Uint8Array): Buffer {
  const hasher = getWasm().create_hasher()
  feed(hasher, bytes)
  return finish(hasher)
}

export function digestOf(bytes: Uint8Array): Digest {
  return blake3(bytes).toString('hex')
}

/** Hashes what is fed to it; `hex` ends it. A hasher that is never ended leaks WebAssembly memory. */
export interface Hasher {
  update(bytes: Uint8Array): void
  hex(): Digest
}

export function createHasher(): Hasher {
  const hasher = getWasm().create_hasher()
  return {
    update: (bytes) => feed(hasher, bytes),
    hex: () => finish(hasher).toString('hex'),
  }
}

type WasmHasher = ReturnType<ReturnType<typeof getWasm>['create_hasher']>

function feed(hasher: WasmHasher, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) hasher.update(bytes.subarray(at, at + PIECE_BYTES))
}

function finish(hasher: WasmHasher): Buffer {
  const digest = Buffer.alloc(DIGEST_BYTES)
  hasher.digest(digest)
  hasher.free()
  return digest
}
