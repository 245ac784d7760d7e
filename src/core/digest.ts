// The package's main file compiles its WebAssembly when it is imported; this one waits for the first hash.
import { getWasm } from 'blake3/dist/node/wasm.js'

/** A BLAKE3 digest as 64 lower-case hex digits. */
export type Digest = string

export const DIGEST_BYTES = 32

/** WebAssembly memory only grows, and every call copies its input there: larger input goes in pieces of this. */
const PIECE_BYTES = 256 * 1024

/** BLAKE3 of `bytes`, 32 bytes. For small input; what hashes images takes a `Hashing`. */
export function blake3(bytes: Uint8Array): Buffer {
  return chosen.blake3(bytes)
}

export function digestOf(bytes: Uint8Array): Digest {
  return blake3(bytes).toString('hex')
}

/** Hashes what is fed to it; `hex` ends it. A portable hasher that is never ended leaks WebAssembly memory. */
export interface Hasher {
  update(bytes: Uint8Array): void
  hex(): Digest
}

/** BLAKE3 over bulk data. Passed in, so that only src/host knows where it comes from. */
export interface Hashing {
  /** 32 bytes. */
  blake3(bytes: Uint8Array): Buffer
  /** On another thread where there is one: `bytes` must not change until it resolves; several calls run in parallel. */
  blake3Async(bytes: Uint8Array): Promise<Buffer>
  createHasher(): Hasher
}

/** In WebAssembly: on every CPU, at less than 1 GB/s, on the calling thread. */
export const portableHashing: Hashing = {
  blake3: portableBlake3,
  blake3Async: async (bytes) => portableBlake3(bytes),
  createHasher,
}

let chosen: Pick<Hashing, 'blake3'> = portableHashing

/** For `blake3` and `digestOf` of the whole process, once at its start: WebAssembly costs 5 MB as soon as it is used. */
export function hashWith(hashing: Pick<Hashing, 'blake3'>): void {
  chosen = hashing
}

function portableBlake3(bytes: Uint8Array): Buffer {
  const hasher = getWasm().create_hasher()
  feed(hasher, bytes)
  return finish(hasher)
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
