import type { Codecs } from '../core/codecs.ts'
import type { Encoding, StreamEncoder } from '../core/encoding.ts'
import { encoded, requireLength } from './mismatch.ts'
import { type FeedOp, malformed } from './program.ts'

/** Uses the next bytes of a stream, which may still be in the making; it is over with them when it resolves. */
export type UseTaken = (content: Promise<Uint8Array>, bytes: number) => Promise<void>

/** Payloads that are encoded piece by piece, and what came out of them and was not taken yet. */
export interface Streams {
  open(encoding: Encoding | undefined): void
  isNeeded(stream: number): boolean
  /** Resolves when another piece of that length may be made beside those that are being encoded. */
  free(bytes: number): Promise<void>
  /** Encodes the next piece. `content` may be used again once it resolves; failures are for whoever takes. */
  feed(op: FeedOp, content: Uint8Array): Promise<void>
  take(stream: number, bytes: number, use: UseTaken): Promise<void>
  drop(stream: number, bytes: number): Promise<void>
  close(): Promise<void>
}

interface Stream {
  readonly encoding: Encoding
  readonly isNeeded: boolean
  /** Opened when first fed. */
  encoder: StreamEncoder | undefined
  /** What was fed last, and all before it. */
  fed: Promise<unknown>
  readonly output: { readonly made: Promise<Buffer>; readonly bytes: number; passed: number }[]
}

/** Content of small pieces that are encoded while the next one is made. */
export const FED_AHEAD_BYTES = 2 * 1024 * 1024

/** `needed` has a 1 for each stream of which anything goes into a chunk that has to be made. */
export function openStreams(codecs: Codecs, needed: Uint8Array): Streams {
  const streams: Stream[] = []
  let held = 0
  let last: Promise<unknown> = Promise.resolve()

  function at(index: number): Stream {
    const stream = streams[index]
    if (stream === undefined) throw malformed('uses a stream that is not open')
    return stream
  }

  async function feed(op: FeedOp, content: Uint8Array): Promise<void> {
    const stream = at(op.stream)
    const made = stream.fed.then(() => encode(stream, op, content))
    stream.fed = made
    if (op.made > 0) stream.output.push({ made, bytes: op.made, passed: 0 })
    held += content.length
    last = Promise.allSettled([last, made])
    await made.catch(() => undefined)
    held -= content.length
  }

  async function encode(stream: Stream, op: FeedOp, content: Uint8Array): Promise<Buffer> {
    const made = await encoded(stream.encoding, push(stream, content, op.last))
    requireLength(made, op.made, stream.encoding)
    if (!op.last) return made
    stream.encoder?.close()
    stream.encoder = undefined
    return made
  }

  async function push(stream: Stream, content: Uint8Array, isLast: boolean): Promise<Buffer> {
    stream.encoder ??= codecs.openEncoder(stream.encoding)
    return await stream.encoder.push(content, isLast)
  }

  /** Of a stream that is not needed nothing comes out. */
  async function pass(index: number, bytes: number, use?: UseTaken): Promise<void> {
    const { output, isNeeded } = at(index)
    for (let done = 0; isNeeded && done < bytes; ) {
      const piece = output[0]
      if (piece === undefined) throw malformed('takes more of a stream than it has')
      const from = piece.passed
      const to = Math.min(piece.bytes, from + bytes - done)
      const content = piece.made.then((made) => made.subarray(from, to))
      content.catch(() => undefined)
      await use?.(content, to - from)
      done += to - from
      piece.passed = to
      if (to < piece.bytes) continue
      output.shift()
      // Behind all that `use` made wait for it.
      content.then(codecs.release, () => undefined)
    }
  }

  return {
    open(encoding) {
      if (encoding === undefined) throw malformed('has no such encoding')
      const isNeeded = needed[streams.length] === 1
      streams.push({ encoding, isNeeded, encoder: undefined, fed: Promise.resolve(), output: [] })
    },
    isNeeded: (stream) => at(stream).isNeeded,
    async free(bytes) {
      if (held + bytes > FED_AHEAD_BYTES) await last
    },
    feed,
    take: pass,
    drop: (stream, bytes) => pass(stream, bytes),
    async close() {
      await last
      for (const { encoder } of streams) encoder?.close()
    },
  }
}
