import type { Codecs } from '../core/codecs.ts'

/** Memory that is used again: V8 frees large buffers late. */
export interface BufferPool {
  /** So many bytes or more. */
  take(bytes: number): Buffer
  give(buffer: Buffer): void
}

/** Larger ones are rare, and go back to the system at once. */
const KEPT_BUFFER_BYTES = 1024 * 1024
const LEAST_BYTES = 4096

export function poolBuffers({ release }: Pick<Codecs, 'release'>): BufferPool {
  /** By size, which is a power of two. */
  const free = new Map<number, Buffer[]>()
  return {
    take(bytes) {
      if (bytes > KEPT_BUFFER_BYTES) return Buffer.allocUnsafeSlow(bytes)
      const size = 2 ** Math.ceil(Math.log2(Math.max(bytes, LEAST_BYTES)))
      return free.get(size)?.pop() ?? Buffer.allocUnsafeSlow(size)
    },
    give(buffer) {
      if (buffer.length > KEPT_BUFFER_BYTES) return release(buffer)
      const same = free.get(buffer.length)
      if (same) same.push(buffer)
      else free.set(buffer.length, [buffer])
    },
  }
}
