import type { Codecs } from '../core/codecs.ts'
import { trackAim } from './aim.ts'
import type { BlockSpace } from './block-space.ts'
import { poolBuffers } from './buffers.ts'
import type { ChunkWriter } from './chunks.ts'
import type { DataReader } from './data.ts'
import { startJobs } from './jobs.ts'
import { findNeededStreams } from './needed.ts'
import { type AsideOp, type ContentOp, type FeedOp, isAside, malformed, type Program } from './program.ts'
import { collectReads } from './reads.ts'
import { openStreams } from './streams.ts'

export interface MachineOptions {
  readonly program: Program
  readonly data: DataReader
  readonly base: BlockSpace
  /** The image so far; blocks are added as they are made. */
  readonly self: BlockSpace
  readonly chunks: ChunkWriter
  readonly codecs: Codecs
  readonly chunkBytes: number
  /** Blocks that are encoded at the same time, at most. */
  readonly parallel: number
  readonly signal?: AbortSignal | undefined
}

/** All that operations work with, and how far they have come. */
export type Machine = ReturnType<typeof startMachine>

export function startMachine(options: MachineOptions) {
  const { program, chunks, codecs, base, self } = options
  return {
    ...options,
    ops: program.ops(),
    streams: openStreams(codecs, findNeededStreams(program, chunks)),
    jobs: startJobs(options.parallel),
    pool: poolBuffers(codecs),
    baseReads: collectReads(base, codecs),
    selfReads: collectReads(self, codecs),
    aim: trackAim(),
    position: 0,
    carry: Buffer.alloc(0),
  }
}

/** Undefined where there is nothing to wait for: most operations are small, and many. */
export type Wait = Promise<void> | undefined

/** Fills in what was only noted so far. */
export async function flush({ baseReads, selfReads }: Machine): Promise<void> {
  await baseReads.flush()
  await selfReads.flush()
}

/** Content of a block or of a piece of a stream. */
export async function fill(machine: Machine, into: Uint8Array): Promise<void> {
  for (let done = 0; done < into.length; ) {
    const op = await nextContent(machine)
    const wait = make(machine, op, into.subarray(done, done + op.bytes))
    if (wait !== undefined) await wait
    done += op.bytes
  }
  await flush(machine)
}

export async function skipContent(machine: Machine, bytes: number): Promise<void> {
  for (let done = 0; done < bytes; ) {
    const op = await nextContent(machine)
    const wait = skip(machine, op)
    if (wait !== undefined) await wait
    done += op.bytes
  }
}

async function nextContent(machine: Machine): Promise<ContentOp> {
  for (;;) {
    const { value: op } = machine.ops.next()
    if (!op || op.kind === 'pack') throw malformed('ends in the middle of a block')
    if (!isAside(op)) return op
    await runAside(machine, op)
  }
}

/** One operation's content; complete after `flush`. */
export function make(machine: Machine, op: ContentOp, into: Uint8Array): Wait {
  const { data, baseReads, selfReads, chunks, aim } = machine
  const at = aim.pass(op.bytes)
  switch (op.kind) {
    case 'zero':
      into.fill(0)
      return undefined
    case 'literal':
      return data.read('literal', into)
    case 'copy':
      return baseReads.add({ into, from: op.from, isPatch: false })
    case 'patch':
      return both(baseReads.add({ into, from: op.from, isPatch: true }), () => data.read('difference', into))
    case 'moved': {
      const read = { into, from: op.from, isPatch: true, aim: aim.at(op.from, at) }
      return both(baseReads.add(read), () => data.read('difference', into))
    }
    case 'self':
      return both(selfReads.add({ into, from: op.from, isPatch: false }), () =>
        chunks.settle(machine.position),
      )
    case 'take':
      return takeInto(machine, op, into)
  }
}

async function takeInto(
  { streams }: Machine,
  { stream }: ContentOp & { kind: 'take' },
  into: Uint8Array,
): Promise<void> {
  let done = 0
  await streams.take(stream, into.length, async (content, bytes) => {
    into.set(await content, done)
    done += bytes
  })
}

function both(first: Wait, second: () => Wait): Wait {
  return first === undefined ? second() : first.then(second)
}

export function skip({ data, streams, aim }: Machine, op: ContentOp): Wait {
  aim.pass(op.bytes)
  if (op.kind === 'literal') return data.skip('literal', op.bytes)
  if (op.kind === 'patch' || op.kind === 'moved') return data.skip('difference', op.bytes)
  if (op.kind === 'take') return streams.drop(op.stream, op.bytes)
  return undefined
}

/** What makes no content itself. */
export async function runAside(machine: Machine, op: AsideOp): Promise<void> {
  const { streams, program, aim } = machine
  switch (op.kind) {
    case 'open':
      return streams.open(program.encodings[op.encoding])
    case 'drop':
      return streams.drop(op.stream, op.bytes)
    case 'feed':
      return await runFeed(machine, op)
    case 'map':
      return aim.setMap(op.map)
    case 'aim':
      return aim.set(op)
  }
}

async function runFeed(machine: Machine, op: FeedOp): Promise<void> {
  const { streams, pool } = machine
  if (!streams.isNeeded(op.stream)) return await skipContent(machine, op.bytes)
  await streams.free(op.bytes)
  const buffer = pool.take(op.bytes)
  const content = buffer.subarray(0, op.bytes)
  await fill(machine, content)
  void streams.feed(op, content).then(() => pool.give(buffer))
}
