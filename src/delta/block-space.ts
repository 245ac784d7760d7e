import type { Codecs } from '../core/codecs.ts'
import type { Region } from '../core/region.ts'
import { lastStart } from '../core/search.ts'
import { type BaseCache, cacheBase } from './base-cache.ts'
import { type BufferPool, poolBuffers } from './buffers.ts'
import type { Block, Run } from './program.ts'

/**
 * One row of addresses: the bytes of a region, then the content of each block, in the order they were added. A block's
 * stored bytes lie before its own content, so blocks may be inside blocks.
 */
export interface BlockSpace {
  /** End of the addresses so far. */
  bytes(): number
  add(block: Block): void
  /** Fills `into`; at once where everything is in memory. The caller keeps within `bytes()`. */
  read(into: Uint8Array, from: number): Promise<void> | undefined
  /** Forgets a decoded block that is larger than all that is kept otherwise. */
  trim(): void
}

const CACHE_PAGES = 16
/** Decoded blocks that are kept: the last one, and as many as fit here. */
export const KEPT_BYTES = 1024 * 1024
/** What a space holds beside decoded blocks. */
export const CACHED_PAGES_BYTES = CACHE_PAGES * 64 * 1024

export interface SpaceOptions {
  readonly region: Region
  /** So many count of the region. */
  readonly bytes: number
  readonly codecs: Pick<Codecs, 'decode' | 'release'>
  /** What to throw for a block that does not decode to its content. */
  readonly damaged: (cause: unknown) => Error
}

export function openSpace({ region, bytes, codecs, damaged }: SpaceOptions): BlockSpace {
  const raw = bytes > 0 ? cacheBase(region, bytes, CACHE_PAGES) : undefined
  const blocks: Block[] = []
  /** Where each block's content starts. */
  const starts: number[] = []
  const pool = poolBuffers(codecs)
  const kept = keepBlocks(pool)
  let end = bytes

  const indexAt = (at: number): number => lastStart(starts.length, at, (index) => starts[index])

  function add(block: Block): void {
    blocks.push(block)
    starts.push(end)
    end += block.content
  }

  function read(into: Uint8Array, from: number): Promise<void> | undefined {
    if (from + into.length <= bytes) return readRaw(raw, into, from)
    const index = indexAt(from)
    const start = starts[index]
    const inside = kept.get(index)
    if (start === undefined || inside === undefined || from + into.length > start + inside.length)
      return readPieces(into, from)
    into.set(inside.subarray(from - start, from - start + into.length))
    return undefined
  }

  async function readPieces(into: Uint8Array, from: number): Promise<void> {
    for (let done = 0; done < into.length; ) {
      const at = from + done
      if (at < bytes) {
        const piece = into.subarray(done, done + Math.min(into.length - done, bytes - at))
        await readRaw(raw, piece, at)
        done += piece.length
        continue
      }
      const index = indexAt(at)
      const content = kept.get(index) ?? (await load(index))
      const piece = content.subarray(at - (starts[index] ?? 0)).subarray(0, into.length - done)
      into.set(piece, done)
      done += piece.length
    }
  }

  async function load(index: number): Promise<Buffer> {
    const block = blocks[index]
    if (block === undefined) throw new RangeError(`there is no block ${index}`)
    kept.makeRoom(block.content)
    const bytes = block.runs.reduce((sum, run) => sum + run.bytes, 0)
    const behind = roomBehind(block, bytes)
    const memory = pool.take(block.content + behind)
    const content = memory.subarray(0, block.content)
    const apart = behind === 0 ? pool.take(bytes) : undefined
    const stored =
      apart?.subarray(0, bytes) ?? memory.subarray(block.content + behind - bytes, block.content + behind)
    await readRuns(block.runs, stored)
    decode(block, stored, content)
    if (apart) pool.give(apart)
    kept.put(index, { content, memory })
    return content
  }

  function decode({ codec }: Block, stored: Buffer, into: Buffer): void {
    try {
      codecs.decode(codec, stored, into)
    } catch (cause) {
      throw damaged(cause)
    }
  }

  async function readRuns(runs: readonly Run[], into: Uint8Array): Promise<void> {
    let done = 0
    for (const run of runs) {
      await read(into.subarray(done, done + run.bytes), run.from)
      done += run.bytes
    }
  }

  return { bytes: () => end, add, read, trim: kept.trim }
}

/**
 * Bytes behind the content of a block that can be decoded where it lies, its stored bytes at the end of all; 0 where it
 * cannot. A kernel's are of 8 MiB. lz4.h, LZ4_DECOMPRESS_INPLACE_MARGIN.
 */
function roomBehind({ codec, content }: Block, stored: number): number {
  return (codec === 'lz4' || codec === 'lz4hc') && stored < content ? Math.floor(stored / 256) + 32 : 0
}

function readRaw(raw: BaseCache | undefined, into: Uint8Array, from: number): Promise<void> | undefined {
  if (raw === undefined) throw new RangeError('there is nothing to read from')
  return raw.read(into, from)
}

/** The decoded blocks used last. */
function keepBlocks(pool: BufferPool) {
  const kept = new Map<number, { readonly content: Buffer; readonly memory: Buffer }>()
  let bytes = 0

  function dropOldest(): void {
    const [oldest] = kept
    if (oldest === undefined) return
    const [index, { memory }] = oldest
    kept.delete(index)
    bytes -= memory.length
    pool.give(memory)
  }

  function makeRoom(wanted: number): void {
    while (kept.size > 0 && bytes + wanted > KEPT_BYTES) dropOldest()
  }

  return {
    makeRoom,
    get(index: number): Buffer | undefined {
      const found = kept.get(index)
      if (found === undefined) return undefined
      kept.delete(index)
      kept.set(index, found)
      return found.content
    },
    trim(): void {
      while (bytes > KEPT_BYTES) dropOldest()
    },
    /** The room was made before. */
    put(index: number, block: { readonly content: Buffer; readonly memory: Buffer }): void {
      makeRoom(block.memory.length)
      kept.set(index, block)
      bytes += block.memory.length
    },
  }
}
