import { type BaseCache, PAGE_BYTES } from './base-cache.ts'
import type { BaseIndex } from './base-index.ts'
import type { Op } from './ops.ts'
import type { RollingHash } from './rolling.ts'

/** Finds each chunk of a new image in its base. Chunks come in order; `start` is a chunk's place in the image. */
export interface Matcher {
  match(chunk: Buffer, start: number): Promise<Op[]>
}

export interface MatchSource {
  readonly base: BaseCache
  readonly index: BaseIndex
}

/** After a difference, so far ahead we look whether the same run of the base goes on. */
const LOOK_AHEAD_BYTES = 16 * 1024
/** Shorter runs cost more as an operation than as literal bytes. */
const MIN_RUN_BYTES = 32
const COMPARE_BYTES = 4096

/** Without `source` it finds runs of zeros only. */
export function createMatcher(hash: RollingHash, source?: MatchSource): Matcher {
  /** Place in the base less place in the image, of the run copied last. */
  let diagonal = 0

  async function match(chunk: Buffer, start: number): Promise<Op[]> {
    const run = startRun(chunk)
    for (let at = 0; at < chunk.length; at = run.covered()) {
      const resumed = source && (await resumeCopy(source.base, { chunk, at, shift: start + diagonal }))
      if (resumed !== undefined) {
        run.cover(resumed.at, {
          kind: 'copy',
          bytes: resumed.bytes,
          baseOffset: resumed.at + start + diagonal,
        })
      } else if (!(await searchFrom(at, start, run))) break
    }
    return run.end()
  }

  /** Covers the next run found by hash; false when there is none in the rest of the chunk. */
  async function searchFrom(from: number, start: number, run: Run): Promise<boolean> {
    const chunk = run.chunk
    for (const hit of candidates(hash, source?.index, { chunk, from })) {
      const found = hit.offset < 0 ? zeroRun(chunk, hit.at, from) : await copyRun(hit, { chunk, from })
      if (found.bytes < hash.blockBytes) continue
      if (found.kind === 'copy') diagonal = found.baseOffset - (start + found.at)
      run.cover(found.at, found)
      return true
    }
    return false
  }

  /** Grows a hit both ways; a false hit comes out short. */
  async function copyRun({ at, offset }: Hit, { chunk, from }: Window): Promise<Op & { at: number }> {
    if (!source) throw new Error('a copy without a base')
    const after = await equalAfter(source.base, { chunk, at, offset })
    const before = after < hash.blockBytes ? 0 : await equalBefore(source.base, { chunk, at, offset, from })
    return { kind: 'copy', at: at - before, bytes: before + after, baseOffset: offset - before }
  }

  return { match }
}

interface Window {
  readonly chunk: Buffer
  /** Everything before this is covered. */
  readonly from: number
}

interface Hit {
  readonly at: number
  /** In the base; -1 for zeros. */
  readonly offset: number
}

interface Run {
  readonly chunk: Buffer
  covered(): number
  /** Bytes between what is covered and `at` become literal. */
  cover(at: number, op: Op): void
  end(): Op[]
}

function startRun(chunk: Buffer): Run {
  const ops: Op[] = []
  let covered = 0
  function literalUpTo(at: number): void {
    if (at > covered) ops.push({ kind: 'literal', bytes: at - covered })
    covered = at
  }
  return {
    chunk,
    covered: () => covered,
    cover(at, op) {
      literalUpTo(at)
      ops.push(op)
      covered += op.bytes
    },
    end() {
      literalUpTo(chunk.length)
      return ops
    },
  }
}

/** Places whose block has a hash that zeros or the base have. */
function* candidates(
  hash: RollingHash,
  index: BaseIndex | undefined,
  { chunk, from }: Window,
): Generator<Hit, void, undefined> {
  const last = chunk.length - hash.blockBytes
  if (from > last) return
  let value = hash.of(chunk, from)
  for (let at = from; ; at++) {
    if (value === hash.ofZeros) yield { at, offset: -1 }
    else if (index?.mayHave(value)) {
      const offset = index.find(value)
      if (offset >= 0) yield { at, offset }
    }
    if (at === last) return
    value = hash.slide(value, chunk, at)
  }
}

function zeroRun(chunk: Buffer, at: number, from: number): Op & { at: number } {
  let end = at
  while (end < chunk.length && chunk[end] === 0) end++
  let begin = at
  while (end > at && begin > from && chunk[begin - 1] === 0) begin--
  return { kind: 'zero', at: begin, bytes: end - begin }
}

interface Resume {
  readonly chunk: Buffer
  readonly at: number
  /** Place in the base less place in the chunk. */
  readonly shift: number
}

/** The next run within reach that equals the base on the same diagonal. */
async function resumeCopy(base: BaseCache, { chunk, at, shift }: Resume) {
  const begin = await findEqual(base, { chunk, at, shift })
  if (begin === undefined) return undefined
  return { at: begin, bytes: await equalAfter(base, { chunk, at: begin, offset: begin + shift }) }
}

async function findEqual(base: BaseCache, { chunk, at, shift }: Resume): Promise<number | undefined> {
  const end = Math.min(chunk.length, at + LOOK_AHEAD_BYTES, base.bytes - shift)
  if (at + shift < 0) return undefined
  let equal = 0
  for (let i = at; i < end; ) {
    const view = base.view(i + shift)
    const page = view instanceof Promise ? await view : view
    const length = Math.min(page.length, end - i)
    for (let k = 0; k < length; k++) {
      equal = chunk[i + k] === page[k] ? equal + 1 : 0
      if (equal === MIN_RUN_BYTES) return i + k + 1 - MIN_RUN_BYTES
    }
    i += length
  }
  return undefined
}

interface Pair {
  readonly chunk: Buffer
  readonly at: number
  readonly offset: number
}

/** How many bytes from here on are the same in chunk and base. */
async function equalAfter(base: BaseCache, { chunk, at, offset }: Pair): Promise<number> {
  const limit = Math.min(chunk.length - at, base.bytes - offset)
  let done = 0
  while (done < limit) {
    const view = base.view(offset + done)
    const page = view instanceof Promise ? await view : view
    const length = Math.min(page.length, limit - done)
    const same = commonPrefix(chunk.subarray(at + done, at + done + length), page)
    done += same
    if (same < length) break
  }
  return done
}

/** How many bytes before here are the same, back to what is covered. */
async function equalBefore(base: BaseCache, { chunk, at, offset, from }: Pair & Window): Promise<number> {
  const limit = Math.min(at - from, offset)
  let done = 0
  while (done < limit) {
    const pageStart = Math.floor((offset - done - 1) / PAGE_BYTES) * PAGE_BYTES
    const view = base.view(pageStart)
    const page = view instanceof Promise ? await view : view
    const stop = Math.min(limit, offset - pageStart)
    while (done < stop && chunk[at - done - 1] === page[offset - done - 1 - pageStart]) done++
    if (done < stop) break
  }
  return done
}

/** `right` is at least as long as `left`. */
function commonPrefix(left: Buffer, right: Uint8Array): number {
  let at = 0
  while (at < left.length) {
    const end = Math.min(at + COMPARE_BYTES, left.length)
    if (left.compare(right, at, end, at, end) !== 0) break
    at = end
  }
  while (at < left.length && left[at] === right[at]) at++
  return at
}
