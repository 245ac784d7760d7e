import type { Codecs } from '../core/codecs.ts'
import type { Encoding } from '../core/encoding.ts'
import {
  fill,
  flush,
  type Machine,
  type MachineOptions,
  make,
  runAside,
  skip,
  skipContent,
  startMachine,
  type Wait,
} from './content.ts'
import { codecMismatch, encoded, requireLength } from './mismatch.ts'
import { type ContentOp, isAside, malformed, type Op, type PackOp } from './program.ts'

/**
 * Runs a checked program: makes the image in order, passes over what no chunk needs, and encodes blocks on other threads.
 * Throws `BUNDLE_MALFORMED`, `CODEC_MISMATCH`, and what its parts throw.
 */
export async function runProgram(options: MachineOptions): Promise<void> {
  const machine = startMachine(options)
  try {
    for (let { value: op } = machine.ops.next(); op; op = machine.ops.next().value ?? undefined) {
      options.signal?.throwIfAborted()
      await runTop(machine, op)
    }
    await flush(machine)
  } finally {
    await machine.streams.close()
    await machine.jobs.drain()
  }
}

async function runTop(machine: Machine, op: Op): Promise<void> {
  if (isAside(op)) await runAside(machine, op)
  else if (op.kind === 'pack') await runPack(machine, op)
  else if (op.kind === 'moved') await placeMoved(machine, op)
  else if (op.kind === 'take') await placeTaken(machine, op)
  else await placeContent(machine, op)
}

/** Makes the next `bytes` of a chunk, `done` of all of them are made; without `into` it passes over them. */
type Place = (into: Uint8Array | undefined, done: number, bytes: number) => Wait

/** Piece by piece in the chunks it belongs to. */
async function place(machine: Machine, bytes: number, action: Place): Promise<void> {
  const { chunks, chunkBytes } = machine
  for (let done = 0; done < bytes; ) {
    const step = Math.min(bytes - done, chunkBytes - (machine.position % chunkBytes))
    const wait = action(await chunks.room(machine.position, step), done, step)
    if (wait !== undefined) await wait
    machine.position += step
    done += step
    // The next byte closes the chunk.
    if (machine.position % chunkBytes === 0) await flush(machine)
  }
}

async function placeContent(machine: Machine, op: ContentOp): Promise<void> {
  await place(machine, op.bytes, (into, done, bytes) => {
    const piece = cut(op, done, bytes)
    return into ? make(machine, piece, into) : skip(machine, piece)
  })
}

/** Addresses may lie across the border of two chunks, so it is made as a whole. */
async function placeMoved(machine: Machine, op: ContentOp & { kind: 'moved' }): Promise<void> {
  const { chunks, pool, chunkBytes } = machine
  const isInOne = (machine.position % chunkBytes) + op.bytes <= chunkBytes
  if (isInOne || !chunks.needs(machine.position, op.bytes)) return await placeContent(machine, op)
  const buffer = pool.take(op.bytes)
  const content = buffer.subarray(0, op.bytes)
  await make(machine, op, content)
  await flush(machine)
  await place(machine, op.bytes, (into, done, bytes) => {
    into?.set(content.subarray(done, done + bytes))
    return undefined
  })
  pool.give(buffer)
}

/** What is still in the making is put in place later. */
async function placeTaken(machine: Machine, op: ContentOp & { kind: 'take' }): Promise<void> {
  const { streams, chunks, aim } = machine
  await flush(machine)
  aim.pass(op.bytes)
  const start = machine.position
  await streams.take(op.stream, op.bytes, async (content, bytes) => {
    await chunks.later(machine.position, bytes, content)
    machine.position += bytes
  })
  // Of a stream that is not needed nothing comes out.
  machine.position = start + op.bytes
}

/** A part of an operation. */
function cut(op: ContentOp, done: number, bytes: number): ContentOp {
  return 'from' in op ? { ...op, from: op.from + done, bytes } : { ...op, bytes }
}

async function runPack(machine: Machine, op: PackOp): Promise<void> {
  await flush(machine)
  const { program, chunks, self } = machine
  const encoding = program.encodings[op.encoding]
  if (encoding === undefined) throw malformed(`has no encoding ${op.encoding}`)
  const isNeeded = chunks.needs(machine.position, op.stored)
  // What is kept may be needed by the next block, so content is made even where the block itself is not.
  if (!isNeeded && op.kept === 0 && machine.carry.length === 0) await skipContent(machine, op.bytes)
  else await makeBlock(machine, { op, encoding, isNeeded })
  const runs = [{ from: machine.position, bytes: op.stored }]
  self.add({ codec: encoding.codec, runs, content: op.consumed })
  machine.position += op.stored
}

interface BlockJob {
  readonly op: PackOp
  readonly encoding: Encoding
  readonly isNeeded: boolean
}

async function makeBlock(machine: Machine, { op, encoding, isNeeded }: BlockJob): Promise<void> {
  const { pool, jobs, chunks, codecs, carry } = machine
  const bytes = carry.length + op.bytes
  const buffer = pool.take(bytes)
  const content = buffer.subarray(0, bytes)
  content.set(carry)
  await fill(machine, content.subarray(carry.length))
  machine.carry = Buffer.from(content.subarray(op.consumed, op.consumed + op.kept))
  if (!isNeeded) return pool.give(buffer)
  await jobs.free(bytes)
  const job = jobs
    .add(bytes, () => encodeBlock(codecs, { op, encoding, content }))
    .finally(() => pool.give(buffer))
  await chunks.later(machine.position, op.stored, job)
  // After all of it was copied: V8 would let it lie.
  job.then(codecs.release, () => undefined)
}

async function encodeBlock(
  codecs: Codecs,
  { op, encoding, content }: { op: PackOp; encoding: Encoding; content: Buffer },
): Promise<Buffer> {
  const { stored, consumed } = await encoded(encoding, codecs.encode(encoding, content))
  requireLength(stored, op.stored, encoding)
  if (consumed !== op.consumed) throw codecMismatch(encoding)
  return stored
}
