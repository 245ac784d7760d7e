import { chunkRange, type ImageEntry } from '../bundle/manifest.ts'
import { DIGEST_BYTES } from '../core/digest.ts'
import { PineError } from '../core/error.ts'
import type { Region } from '../core/region.ts'

export type Hash = (bytes: Uint8Array) => Buffer

export interface FindOptions {
  readonly image: ImageEntry
  readonly hash: Hash
  readonly signal?: AbortSignal | undefined
}

/** Which chunks of the image the target holds already, one byte each. A chunk that cannot be read is not among them. */
export async function findRightChunks(
  target: Region,
  { image, hash, signal }: FindOptions,
): Promise<Uint8Array> {
  const right = new Uint8Array(image.chunks.length / DIGEST_BYTES)
  const buffer = Buffer.allocUnsafeSlow(Math.min(image.chunkBytes, image.bytes))
  // After a write that failed, the kernel goes on showing what was to be written, as if the disk had it.
  await target.dropCache()
  for (const index of right.keys()) {
    signal?.throwIfAborted()
    const { offset, bytes } = chunkRange(image, index)
    const chunk = buffer.subarray(0, bytes)
    if ((await isReadable(target, chunk, offset)) && isChunk(image, index, hash(chunk))) right[index] = 1
  }
  return right
}

/** False at a bad sector: it is written anyway, and a disk then puts a spare one in its place. */
async function isReadable(target: Region, into: Uint8Array, position: number): Promise<boolean> {
  try {
    await target.read(into, position)
    return true
  } catch (error) {
    if (error instanceof PineError && error.code === 'IO_FAILED') return false
    throw error
  }
}

function isChunk(image: ImageEntry, index: number, digest: Buffer): boolean {
  return digest.equals(image.chunks.subarray(index * DIGEST_BYTES, (index + 1) * DIGEST_BYTES))
}

export interface ChunkWriter {
  /** True where any byte of the range is in a chunk that has to be made. */
  needs(position: number, bytes: number): boolean
  /** Room for the next bytes, which end before the next border; undefined in a chunk that is right already. */
  room(position: number, bytes: number): Promise<Uint8Array | undefined>
  /** Bytes that come later, from `position` on; the positions before are given out. */
  later(position: number, bytes: number, content: Promise<Uint8Array>): Promise<void>
  /** Resolves when every chunk that ends at or before `position` is in the target. */
  settle(position: number): Promise<void>
  end(): Promise<WriteResult>
}

export interface WriteResult {
  readonly writtenBytes: number
  /** Already right before: a resume, or the slot's earlier content. */
  readonly skippedBytes: number
}

export interface ChunkWriterOptions {
  readonly image: ImageEntry
  readonly target: Region
  readonly hash: Hash
  readonly right: Uint8Array
  /** Chunks in memory. */
  readonly open: number
  /** So much is written before it is flushed. */
  readonly unflushedBytes: number
  /** What to throw for a chunk that came out wrong. */
  readonly wrong: (index: number) => Error
  readonly onChunk: (doneBytes: number) => void
}

interface OpenChunk {
  readonly index: number
  readonly bytes: Buffer
  readonly pending: Promise<void>[]
}

/** Gathers bytes into chunks in order of the image, and writes each chunk whose digest is right. */
export function writeChunks(options: ChunkWriterOptions): ChunkWriter {
  const { image, right } = options
  const full = writeFullChunks(options)
  const open = new Map<number, OpenChunk>()
  let next = 0

  async function chunkAt(index: number): Promise<OpenChunk> {
    const found = open.get(index)
    if (found) return found
    const memory = await full.memory(open.size)
    const chunk = { index, bytes: memory.subarray(0, chunkRange(image, index).bytes), pending: [] }
    open.set(index, chunk)
    return chunk
  }

  /** Closes every chunk that ends at or before `position`. */
  function advance(position: number): void {
    for (; next < right.length; next++) {
      const { offset, bytes } = chunkRange(image, next)
      if (offset + bytes > position) return
      const chunk = open.get(next)
      open.delete(next)
      if (chunk) full.write(chunk)
      else full.skip(bytes)
    }
  }

  function needs(position: number, bytes: number): boolean {
    const last = Math.floor((position + bytes - 1) / image.chunkBytes)
    for (let index = Math.floor(position / image.chunkBytes); index <= last; index++)
      if (right[index] === 0) return true
    return false
  }

  async function room(position: number, bytes: number): Promise<Uint8Array | undefined> {
    advance(position)
    const index = Math.floor(position / image.chunkBytes)
    if (right[index] === 1) return undefined
    const chunk = await chunkAt(index)
    const at = position - index * image.chunkBytes
    return chunk.bytes.subarray(at, at + bytes)
  }

  async function later(position: number, bytes: number, content: Promise<Uint8Array>): Promise<void> {
    content.catch(() => undefined)
    for (let done = 0; done < bytes; ) {
      const at = position + done
      const step = Math.min(bytes - done, image.chunkBytes - (at % image.chunkBytes))
      const into = await room(at, step)
      const from = done
      const chunk = open.get(Math.floor(at / image.chunkBytes))
      if (into) chunk?.pending.push(content.then((made) => into.set(made.subarray(from, from + step))))
      chunk?.pending.at(-1)?.catch(() => undefined)
      done += step
    }
  }

  return {
    needs,
    room,
    later,
    async settle(position) {
      advance(position)
      await full.settled()
    },
    async end() {
      advance(image.bytes)
      return await full.end()
    },
  }
}

interface FullChunks {
  /** Memory for another chunk, once fewer than `options.open` are in use; `gathering` of them are not full. */
  memory(gathering: number): Promise<Buffer>
  write(chunk: OpenChunk): void
  /** Passes over a chunk that is right. */
  skip(bytes: number): void
  /** Resolves when all chunks so far are in the target. */
  settled(): Promise<void>
  end(): Promise<WriteResult>
}

/** One after another, so that what is in the target is a beginning of the image and nothing else. */
function writeFullChunks({ image, target, ...options }: ChunkWriterOptions): FullChunks {
  const spare: Buffer[] = []
  /** Oldest first. */
  const writing = new Map<number, Promise<void>>()
  let tail: Promise<void> = Promise.resolve()
  const tally = { writtenBytes: 0, skippedBytes: 0 }
  let dirtyBytes = 0
  let flushing: Promise<void> = Promise.resolve()

  async function finish({ index, bytes, pending }: OpenChunk): Promise<void> {
    await Promise.all(pending)
    if (!isChunk(image, index, options.hash(bytes))) throw options.wrong(index)
    await target.write(bytes, chunkRange(image, index).offset)
    spare.push(Buffer.from(bytes.buffer))
    tally.writtenBytes += bytes.length
    dirtyBytes += bytes.length
    if (dirtyBytes >= options.unflushedBytes) await checkpoint()
    report()
  }

  /** Begins to flush what was written, once what was written before that is on the disk. */
  async function checkpoint(): Promise<void> {
    await flushing
    if (dirtyBytes === 0) return
    dirtyBytes = 0
    flushing = target.flush().then(target.dropCache)
    flushing.catch(() => undefined)
  }

  const report = (): void => options.onChunk(tally.skippedBytes + tally.writtenBytes)

  return {
    async memory(gathering) {
      for (const [, done] of writing) {
        if (gathering + writing.size < options.open) break
        await done
      }
      return spare.pop() ?? Buffer.allocUnsafeSlow(Math.min(image.chunkBytes, image.bytes))
    },
    write(chunk) {
      const done = tail.then(() => finish(chunk)).finally(() => writing.delete(chunk.index))
      // Whoever waits next sees the failure; until then nobody does.
      done.catch(() => undefined)
      writing.set(chunk.index, done)
      tail = done
    },
    skip(bytes) {
      tally.skippedBytes += bytes
      report()
    },
    settled: () => tail,
    async end() {
      await tail
      await checkpoint()
      await flushing
      return tally
    },
  }
}
