import type { Aim } from '../../src/core/codecs.ts'
import type { Encoding } from '../../src/core/encoding.ts'
import { CODE_SHAPE } from '../../src/core/shape.ts'
import type { Op, ProgramHead } from '../../src/delta/program.ts'
import { subtract } from '../../src/diff/subtract.ts'
import { numbers, systemBytes } from '../native/content.ts'
import { codecs } from '../support/bundles.ts'

/** A program that makes sense, with every kind of operation in it, and what it makes of what. */
export interface Honest {
  readonly head: ProgramHead
  readonly ops: readonly Op[]
  readonly base: Buffer
  readonly image: Buffer
  readonly difference: Buffer
  readonly literal: Buffer
}

const ZLIB: Encoding = { codec: 'zlib', params: [9, 15, 0] }
const GZIP: Encoding = { codec: 'gzip', params: [9] }
const FILL: Encoding = { codec: 'lz4hc-fill', params: [9, 4096, 0] }

/** Bytes of the base before its packed block. */
const PLAIN_BYTES = 20_000
/** Where in it there is code, and the address of that. */
const CODE_AT = 10_000
const CODE_ADDRESS = 0x1000

/** x86-64: every 16 bytes a call (e8 and the distance from its end) of some place in 32 KiB. */
function addCalls(code: Buffer): void {
  const next = numbers(12)
  for (let at = 0; at + 5 <= code.length; at += 16) {
    code[at] = 0xe8
    code.writeInt32LE(next(0x8000) - at - 5, at + 1)
  }
}

/** What each operation makes is worked out here in the plainest way, beside it. */
export async function makeHonest(): Promise<Honest> {
  const inner = systemBytes(3000, 3)
  const innerStored = (await codecs.encode(GZIP, inner)).stored
  const outer = Buffer.concat([systemBytes(6000, 2), innerStored])
  const outerStored = (await codecs.encode(ZLIB, outer)).stored
  const plain = systemBytes(PLAIN_BYTES, 1)
  addCalls(plain.subarray(CODE_AT))
  const base = Buffer.concat([plain, outerStored, systemBytes(1000, 4)])
  const half = outerStored.length >> 1
  const outerRuns = [
    { from: PLAIN_BYTES, bytes: half },
    { from: PLAIN_BYTES + half, bytes: outerStored.length - half },
  ]
  const head: ProgramHead = {
    encodings: [ZLIB, GZIP, FILL],
    blocks: [
      { codec: 'zlib', runs: outerRuns, content: outer.length },
      {
        codec: 'gzip',
        runs: [{ from: base.length + 6000, bytes: innerStored.length }],
        content: inner.length,
      },
    ],
  }
  const maker = startMaker(Buffer.concat([base, outer, inner]))
  const made = Buffer.concat(
    await makeParts(maker, { inOuter: base.length, inInner: base.length + outer.length }),
  )
  return { head, ops: maker.ops, base, image: made, ...maker.data() }
}

type Maker = ReturnType<typeof startMaker>

function startMaker(space: Buffer) {
  const ops: Op[] = []
  const differences: Buffer[] = []
  const literals: Buffer[] = []
  return {
    ops,
    space,
    data: () => ({ difference: Buffer.concat(differences), literal: Buffer.concat(literals) }),
    add: (...list: Op[]): void => void ops.push(...list),
    zero(bytes: number): Buffer {
      ops.push({ kind: 'zero', bytes })
      return Buffer.alloc(bytes)
    },
    literal(content: Buffer): Buffer {
      ops.push({ kind: 'literal', bytes: content.length })
      literals.push(content)
      return content
    },
    copy(from: number, bytes: number): Buffer {
      ops.push({ kind: 'copy', bytes, from })
      return space.subarray(from, from + bytes)
    },
    patch(from: number, content: Buffer): Buffer {
      ops.push({ kind: 'patch', bytes: content.length, from })
      differences.push(subtract(content, space.subarray(from, from + content.length)))
      return content
    },
    moved(from: number, content: Buffer, aim: Aim): Buffer {
      ops.push({ kind: 'moved', bytes: content.length, from })
      const before = Buffer.from(space.subarray(from, from + content.length))
      codecs.adjust(before, aim)
      differences.push(subtract(content, before))
      return content
    },
  }
}

async function makeParts(
  maker: Maker,
  { inOuter, inInner }: { inOuter: number; inInner: number },
): Promise<Buffer[]> {
  const parts = [
    maker.copy(100, 5000),
    maker.patch(6000, systemBytes(2000, 5)),
    maker.zero(300),
    maker.literal(systemBytes(700, 6)),
    maker.copy(inInner + 5, 2000),
  ]
  const [block, content] = await addPack(maker, inOuter)
  parts.push(block)
  parts.push(...(await addStream(maker, inInner)))
  parts.push(...addMoved(maker))
  parts.push(...(await addFilled(maker)))
  const image = Buffer.concat(parts)
  maker.add({ kind: 'self', bytes: 3000, from: 50 })
  parts.push(image.subarray(50, 3050))
  const imageBytes = image.length + 3000 + 1500 + 77
  maker.add({ kind: 'self', bytes: 1500, from: imageBytes + 40 })
  parts.push(content.subarray(40, 1540), maker.zero(77))
  return parts
}

async function addPack(maker: Maker, inOuter: number): Promise<[stored: Buffer, content: Buffer]> {
  const at = maker.ops.length
  const content = Buffer.concat([
    maker.copy(inOuter + 10, 3000),
    maker.literal(systemBytes(500, 7)),
    maker.zero(400),
    maker.patch(inOuter + 3500, systemBytes(900, 8)),
  ])
  const { stored } = await codecs.encode(ZLIB, content)
  const bytes = content.length
  maker.ops.splice(at, 0, {
    kind: 'pack',
    bytes,
    encoding: 0,
    consumed: bytes,
    kept: 0,
    stored: stored.length,
  })
  return [stored, content]
}

/** Fed in two pieces; some of what comes out is passed over. */
async function addStream(maker: Maker, inInner: number): Promise<Buffer[]> {
  const encoder = codecs.openEncoder(GZIP)
  maker.add({ kind: 'open', encoding: 1 })
  const output: Buffer[] = []
  for (const last of [false, true]) {
    const at = maker.ops.length
    const content = Buffer.concat([
      maker.copy(inInner + Number(last), 2000),
      maker.literal(systemBytes(300, 9)),
    ])
    const made = await encoder.push(content, last)
    output.push(made)
    maker.ops.splice(at, 0, { kind: 'feed', bytes: content.length, stream: 0, made: made.length, last })
  }
  encoder.close()
  const stream = Buffer.concat(output)
  maker.add({ kind: 'take', bytes: 100, stream: 0 }, { kind: 'drop', bytes: 50, stream: 0 })
  maker.add({ kind: 'take', bytes: stream.length - 150, stream: 0 })
  return [stream.subarray(0, 100), stream.subarray(150)]
}

/** Code in which calls lead elsewhere: two runs over the borders of chunks, and what was added between them. */
function addMoved(maker: Maker): Buffer[] {
  const map = Float64Array.from([0x1000, 0x3000, 0x40, 0x80, 0x9000])
  const nowAt = CODE_ADDRESS + 0x40
  maker.add({ kind: 'map', map }, { kind: 'aim', shape: CODE_SHAPE, ahead: CODE_ADDRESS - CODE_AT, nowAt })
  const parts: Buffer[] = []
  let done = 0
  for (const bytes of [4500, 300, 4000]) {
    const content = systemBytes(bytes, 10 + parts.length)
    const aim = { shape: CODE_SHAPE, map, oldAt: CODE_ADDRESS + done, nowAt: nowAt + done, bare: false }
    parts.push(bytes === 300 ? maker.literal(content) : maker.moved(CODE_AT + done, content, aim))
    done += bytes
  }
  return parts
}

/** Blocks of fixed length, each of which begins where the one before was full. */
async function addFilled(maker: Maker): Promise<Buffer[]> {
  const blocks: Buffer[] = []
  const content = systemBytes(30_000, 11)
  for (let at = 0; at < content.length; ) {
    const { stored, consumed } = await codecs.encode(FILL, content.subarray(at))
    const isFirst = at === 0
    at += consumed
    const kept = content.length - at
    const bytes = isFirst ? content.length : 0
    maker.add({ kind: 'pack', bytes, encoding: 2, consumed, kept, stored: stored.length })
    if (isFirst) maker.literal(content)
    blocks.push(stored)
  }
  return blocks
}
