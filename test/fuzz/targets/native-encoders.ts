import { CODEC_NAMES, type Encoding } from '../../../src/core/encoding.ts'
import { isShape } from '../../../src/core/shape.ts'
import { codecs } from '../../support/bundles.ts'
import { mutateBytes } from '../bytes.ts'
import { readMsgpack, writeMsgpack } from '../msgpack-tree.ts'
import { accepted, defineTarget, refused, requireThat, type TargetEntry } from '../target.ts'
import { Pairs, treeOf } from '../tree.ts'
import { mutateMsgpack } from './msgpack.ts'
import { attempt, CONTENT, codecAt, guarded, PARAMS, refusalOf } from './native.ts'

const AIMS = [
  { shape: [0], map: [0x1000, 0x3000, 0x40, 0x80, 0x9000], oldAt: 0x1000, nowAt: 0x1040, bare: false },
  {
    ...{ shape: [1, 24, 0x1000, 0, 8, 0, 1, 0, 16, 8, 0, 1, 0x20], map: [0, 0x1000, 64, -64, 0x2000] },
    ...{ oldAt: 0x1000, nowAt: 0x900, bare: true },
  },
  {
    shape: [1, 4, 0x1000, 0, 4, 1, 1, 0],
    map: [0x500, 0, 0x2000],
    oldAt: 0x1002,
    nowAt: 0x1002,
    bare: false,
  },
]

/** Calls, every 16 bytes. */
function callsBytes(): Buffer {
  const code = Buffer.from(CONTENT.subarray(0, 512))
  for (let at = 0; at + 5 < code.length; at += 16) {
    code[at] = 0xe8
    code.writeInt32LE((at * 37) % 0x4000, at + 1)
  }
  return code
}

interface Adjusting {
  readonly shape: number[]
  readonly map: number[]
  readonly oldAt: number
  readonly nowAt: number
  readonly bare: boolean
  readonly bytes: Buffer
}

function isNumbers(list: unknown): list is number[] {
  return Array.isArray(list) && list.every((item) => typeof item === 'number')
}

/** An aim as MessagePack; what has another type is no input of `adjust`. */
function adjustingIn(input: Buffer): Adjusting | undefined {
  const tree = readMsgpack(input)
  const entries = tree instanceof Pairs ? tree.entries : []
  const { shape, map, oldAt, nowAt, bare, bytes } = Object.fromEntries(
    entries.map(([name, value]) => [String(name), value]),
  )
  if (!isNumbers(shape) || !isNumbers(map) || !isNumbers([oldAt, nowAt]) || !Buffer.isBuffer(bytes))
    return undefined
  return { shape, map, oldAt: Number(oldAt), nowAt: Number(nowAt), bare: bare === true, bytes }
}

const adjust: TargetEntry = {
  name: 'native-adjust',
  weight: 100_000,
  slowness: 2,
  open: () =>
    defineTarget({
      name: 'native-adjust',
      seeds: AIMS.map((aim) => writeMsgpack(treeOf({ ...aim, bytes: callsBytes() }))),
      mutate: mutateMsgpack,
      decode(input) {
        const aim = adjustingIn(input)
        if (aim === undefined) return undefined
        const { into, isIntact } = guarded(aim.bytes.length)
        aim.bytes.copy(into)
        const uses = new Uint32Array(Math.max(0, (aim.map.length - 1) >> 1))
        const result = attempt(() => codecs.adjust(into, { ...aim, map: Float64Array.from(aim.map), uses }))
        return { aim, result, isIntact: isIntact(), isChanged: !into.equals(aim.bytes) }
      },
      codes: [],
      verdict(adjusted) {
        if (adjusted === undefined) return refused('no aim')
        const { aim, result, isIntact, isChanged } = adjusted
        requireThat(isIntact, 'it wrote outside its bytes')
        if (result !== undefined) return refused('no shape')
        const isWhole = aim.shape.every(
          (number) => Number.isSafeInteger(number) && Math.abs(number) <= 2 ** 52,
        )
        requireThat(!isWhole || isShape(aim.shape), `it takes a shape that is none: ${aim.shape}`)
        return accepted(`${aim.shape[0]} ${isChanged} ${aim.bare} ${aim.map.length > 3}`)
      },
    }),
}

const MOST_ENCODER_BYTES = 48 * 1024 * 1024

/** Codec, params and content as MessagePack: what a bundle may ask of an encoder, within the memory that a host has. */
const encoders: TargetEntry = {
  name: 'native-encode',
  weight: 20_000,
  perRound: 2000,
  slowness: 20,
  open: () =>
    defineTarget({
      name: 'native-encode',
      seeds: CODEC_NAMES.map((codec, number) =>
        writeMsgpack([number, [...PARAMS[codec]], CONTENT.subarray(0, 2000)]),
      ),
      mutate: mutateMsgpack,
      async decode(input) {
        const tree = readMsgpack(input)
        const [number, params, content] = Array.isArray(tree) ? tree : []
        // In a program they are varints.
        const isParams =
          isNumbers(params) && params.every((param) => Number.isSafeInteger(param) && param >= 0)
        if (!Number.isSafeInteger(number) || !isParams || !Buffer.isBuffer(content)) return 'no encoding'
        return await encodeAndDecode({ codec: codecAt(Math.abs(Number(number))), params }, content)
      },
      codes: [],
      verdict: (made) =>
        typeof made === 'string' ? refused(made) : accepted(`${made.codec} ${made.params.join()}`),
    }),
}

/** Undefined whatever the error, as for `memoryOf`: it comes before anything is encoded. */
function encoderBytes(encoding: Encoding, contentBytes: number): number | undefined {
  try {
    return codecs.encoderBytes(encoding, contentBytes)
  } catch {
    return undefined
  }
}

async function encodeAndDecode(encoding: Encoding, content: Buffer): Promise<Encoding | string> {
  const bytes = encoderBytes(encoding, content.length)
  if (bytes === undefined) return 'no params'
  if (bytes > MOST_ENCODER_BYTES) return 'too much memory'
  const made = await codecs.encode(encoding, content).catch(refusalOf)
  if (typeof made === 'string') return 'ECODEC'
  const back = Buffer.alloc(made.consumed)
  codecs.decode(encoding.codec, made.stored, back)
  const isSame = back.equals(content.subarray(0, made.consumed))
  requireThat(isSame, `what ${encoding.codec} ${encoding.params} makes does not come back`)
  return encoding
}

/** Two halves: how the second can be made of the first. */
const differ: TargetEntry = {
  name: 'native-diff',
  weight: 20_000,
  perRound: 2000,
  slowness: 10,
  open: () =>
    defineTarget({
      name: 'native-diff',
      seeds: [
        CONTENT.subarray(0, 4000),
        Buffer.concat([CONTENT.subarray(0, 900), CONTENT.subarray(200, 1100)]),
      ],
      mutate: (input, random, donor) => mutateBytes(input, random, donor, 8192),
      async decode(input) {
        const half = input.length >> 1
        const [base, target] = [input.subarray(0, half), input.subarray(half)]
        return { base, target, triples: await codecs.diff(base, target, 16) }
      },
      codes: [],
      verdict({ base, target, triples }) {
        let at = 0
        for (let index = 0; index < triples.length; index += 3) {
          const [kind, bytes = 0, from = 0] = triples.subarray(index, index + 3)
          const old = base.subarray(from, from + bytes)
          requireThat(kind === 0 || old.length === bytes, `${bytes} bytes at ${from} of ${base.length}`)
          requireThat(kind !== 1 || old.equals(target.subarray(at, at + bytes)), 'a copy of something else')
          at += bytes
        }
        requireThat(at === target.length, `it makes ${at} of ${target.length} bytes`)
        return accepted(`${Math.min(triples.length / 3, 20)}`)
      },
    }),
}

export const encoderTargets = [adjust, encoders, differ]
