import type { SegmentEntry } from '../bundle/manifest-parts.ts'
import type { ArrivedSegment } from '../bundle/reader.ts'
import type { ByteSink } from '../bundle/writer.ts'
import type { Packer, Unpacker } from '../core/codec.ts'
import { digestOf } from '../core/digest.ts'
import { PineError } from '../core/error.ts'
import { readVarints, writeVarint } from './varint.ts'

/** The streams of bytes that operations take from; each is compressed on its own. */
export const DATA_STREAMS = ['difference', 'literal'] as const
export type DataStream = (typeof DATA_STREAMS)[number]

/** Content of one segment before compression, at most. */
export const DATA_SEGMENT_BYTES = 512 * 1024
/** An operation never takes more than this. */
export const MAX_TAKE_BYTES = 1024 * 1024

export type DataPackers = Readonly<Record<DataStream, Packer>>
export type DataUnpackers = Readonly<Record<DataStream, Unpacker>>

export interface DataWriter {
  /** Copies `bytes`. */
  add(stream: DataStream, bytes: Uint8Array): void
  /** Writes the segments that are full. */
  settle(): Promise<void>
  end(): Promise<readonly SegmentEntry[]>
}

type Pieces = Record<DataStream, Buffer[]>

/** Cuts the streams into segments that can be unpacked one after another. */
export function writeData(packers: DataPackers, sink: ByteSink): DataWriter {
  const segments: SegmentEntry[] = []
  /** Full, and not packed yet. */
  const full: Pieces[] = []
  let pieces: Pieces = { difference: [], literal: [] }
  let gathered = 0

  function cut(): void {
    if (gathered > 0) full.push(pieces)
    pieces = { difference: [], literal: [] }
    gathered = 0
  }

  async function pack(given: Pieces): Promise<void> {
    const head: number[] = []
    const body: Buffer[] = []
    let rawBytes = 0
    for (const stream of DATA_STREAMS) {
      const raw = Buffer.concat(given[stream])
      const packed = raw.length === 0 ? Buffer.alloc(0) : await packers[stream].push(raw)
      writeVarint(head, raw.length)
      writeVarint(head, packed.length)
      body.push(packed)
      rawBytes += raw.length
    }
    const payload = Buffer.concat([Buffer.from(head), ...body])
    await sink(payload)
    segments.push({ bytes: payload.length, rawBytes, digest: digestOf(payload) })
  }

  async function settle(): Promise<void> {
    for (let next = full.shift(); next; next = full.shift()) await pack(next)
  }

  return {
    add(stream, bytes) {
      for (let done = 0; done < bytes.length; done += DATA_SEGMENT_BYTES) {
        const part = bytes.subarray(done, done + DATA_SEGMENT_BYTES)
        if (gathered + part.length > DATA_SEGMENT_BYTES) cut()
        pieces[stream].push(Buffer.from(part))
        gathered += part.length
      }
    },
    settle,
    async end() {
      cut()
      await settle()
      return segments
    },
  }
}

export interface DataReader {
  /** Fills `into` with the next bytes of the stream. */
  read(stream: DataStream, into: Uint8Array): Promise<void> | undefined
  skip(stream: DataStream, bytes: number): Promise<void> | undefined
  /** Nothing may be left over. */
  end(): Promise<void>
}

/** Unpacks segments as operations ask for their bytes. Throws `BUNDLE_MALFORMED`, and what `segments` throws. */
export function readData(segments: AsyncIterator<ArrivedSegment>, unpackers: DataUnpackers): DataReader {
  const memory = { difference: growing(), literal: growing() }
  const left: Record<DataStream, Uint8Array> = { difference: new Uint8Array(0), literal: new Uint8Array(0) }

  /** A segment ends where both streams end, or bytes would be lost. */
  async function load(): Promise<void> {
    if (DATA_STREAMS.some((stream) => left[stream].length > 0))
      throw malformed('has data that no operation takes')
    const { value, done } = await segments.next()
    if (done === true) throw malformed('has fewer data than its operations take')
    unpack(value)
  }

  function unpack({ entry, payload }: ArrivedSegment): void {
    const head = readVarints(payload, 0, payload.length)
    if (entry.rawBytes > DATA_SEGMENT_BYTES) throw malformed(`holds ${entry.rawBytes} bytes of data`)
    const sizes = DATA_STREAMS.map((stream) => ({ stream, raw: head.next(), packed: head.next() }))
    if (sizes.reduce((sum, { raw }) => sum + raw, 0) !== entry.rawBytes)
      throw malformed('does not unpack to what its manifest says')
    let at = head.position()
    for (const { stream, raw, packed } of sizes) {
      const piece = payload.subarray(at, at + packed)
      at += packed
      left[stream] = memory[stream](raw)
      if (raw > 0) unpackExactly(unpackers[stream], piece, left[stream])
    }
    if (at !== payload.length) throw malformed('has bytes after its data')
  }

  function pass(stream: DataStream, bytes: number, into?: Uint8Array): Promise<void> | undefined {
    if (left[stream].length < bytes) return passOn(stream, bytes, into)
    into?.set(left[stream].subarray(0, bytes))
    left[stream] = left[stream].subarray(bytes)
    return undefined
  }

  async function passOn(stream: DataStream, bytes: number, into?: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes; ) {
      if (left[stream].length === 0) await load()
      const step = Math.min(left[stream].length, bytes - done)
      into?.set(left[stream].subarray(0, step), done)
      left[stream] = left[stream].subarray(step)
      done += step
    }
  }

  return {
    read: (stream, into) => pass(stream, into.length, into),
    skip: (stream, bytes) => pass(stream, bytes),
    async end() {
      if (DATA_STREAMS.some((stream) => left[stream].length > 0) || (await segments.next()).done !== true)
        throw malformed('has more data than its operations take')
    },
  }
}

export function unpackExactly(unpacker: Unpacker, packed: Uint8Array, into: Uint8Array): void {
  try {
    unpacker.unpack(packed, into)
  } catch (cause) {
    throw new PineError('BUNDLE_MALFORMED', `a segment does not unpack to ${into.length} bytes`, { cause })
  }
}

/** One block of memory that is used again and grows when it must. */
function growing(): (bytes: number) => Uint8Array {
  let memory = Buffer.alloc(0)
  return (bytes) => {
    if (memory.length < bytes) memory = Buffer.allocUnsafeSlow(bytes)
    return memory.subarray(0, bytes)
  }
}

function malformed(what: string): PineError {
  return new PineError('BUNDLE_MALFORMED', `a segment ${what}`)
}
