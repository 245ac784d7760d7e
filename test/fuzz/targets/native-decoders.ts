import { CODEC_NAMES } from '../../../src/core/encoding.ts'
import { codecs } from '../../support/bundles.ts'
import { mutateBytes } from '../bytes.ts'
import { few, type Random } from '../random.ts'
import { accepted, defineTarget, refused, requireThat, type TargetEntry } from '../target.ts'
import { attempt, CONTENT, codecAt, guarded, PARAMS } from './native.ts'

const HEAD_BYTES = 4

/** Codec and length of the content in four bytes, then what is stored. */
const blocks: TargetEntry = {
  name: 'native-decode',
  weight: 150_000,
  slowness: 3,
  async open() {
    const seeds: Buffer[] = []
    for (const [number, codec] of CODEC_NAMES.entries()) {
      const { stored, consumed } = await codecs.encode({ codec, params: PARAMS[codec] }, CONTENT)
      seeds.push(Buffer.concat([Buffer.of(number, consumed & 0xff, consumed >> 8, 0), stored]))
    }
    return defineTarget({
      name: 'native-decode',
      seeds,
      mutate: mutateBlock,
      decode(input) {
        const codec = codecAt(input[0])
        const bytes = input.readUInt16LE(1) + (((input[3] ?? 0) & 3) << 16)
        const [exactly, atMost] = [guarded(bytes), guarded(bytes)]
        const stored = Buffer.from(input.subarray(HEAD_BYTES))
        const exact = attempt(() => codecs.decode(codec, stored, exactly.into))
        const upTo = attempt(() => codecs.decodeUpTo(codec, stored, atMost.into))
        return { codec, bytes, exact, upTo, isIntact: exactly.isIntact() && atMost.isIntact() }
      },
      codes: [],
      verdict({ codec, bytes, exact, upTo, isIntact }) {
        requireThat(isIntact, `${codec} wrote outside its ${bytes} bytes`)
        requireThat(
          typeof upTo === 'string' || (upTo >= 0 && upTo <= bytes),
          `${codec} made ${upTo} of ${bytes} bytes`,
        )
        if (typeof exact === 'string') return refused(typeof upTo === 'string' ? 'ECODEC' : 'other length')
        requireThat(upTo === bytes, `${codec} decodes to ${bytes} bytes, and to ${upTo}`)
        return accepted(codec)
      },
    })
  },
}

function mutateBlock(input: Buffer, random: Random, donor: Buffer): Buffer {
  const head = Buffer.from(input.subarray(0, HEAD_BYTES))
  if (random.once(4)) mutateBytes(head, random, donor, HEAD_BYTES).copy(head)
  return Buffer.concat([
    head,
    mutateBytes(input.subarray(HEAD_BYTES), random, donor.subarray(HEAD_BYTES), 16_384),
  ])
}

/** Pieces of a stream that are unpacked one after another. */
interface Piece {
  readonly packed: Buffer
  readonly bytes: number
}

const LEAST_WINDOW_LOG = 12
const WINDOW_LOG = 16

/** Kind, and log2 of the window less 12, a byte each; then pieces: lengths, packed and unpacked, in two bytes each, and what is packed. */
const streams: TargetEntry = {
  name: 'native-unpack',
  weight: 100_000,
  slowness: 3,
  async open() {
    const seeds = [await packedWith('zstd', 0), await packedWith('lzma2', 1)]
    return defineTarget({
      name: 'native-unpack',
      seeds,
      mutate: mutatePieces,
      decode(input) {
        const kind = (input[0] ?? 0) % 2 === 0 ? 'zstd' : 'lzma2'
        const unpacker = codecs.openUnpacker(kind, 2 ** (LEAST_WINDOW_LOG + ((input[1] ?? 0) % 13)))
        try {
          return piecesIn(input).map(({ packed, bytes }) => {
            const room = guarded(bytes)
            const refusal = attempt(() => unpacker.unpack(Buffer.from(packed), room.into))
            return { isIntact: room.isIntact(), isRefused: refusal !== undefined }
          })
        } finally {
          unpacker.close()
        }
      },
      codes: [],
      verdict(results, input) {
        requireThat(
          results.every(({ isIntact }) => isIntact),
          'it wrote outside its bytes',
        )
        const first = results.findIndex(({ isRefused }) => isRefused)
        const isSpoiled = first < 0 || results.slice(first).every(({ isRefused }) => isRefused)
        requireThat(isSpoiled, 'it goes on after an error')
        if (results.length === 0) return refused('nothing')
        return first < 0 ? accepted(`${(input[0] ?? 0) % 2} ${results.length}`) : refused(`at piece ${first}`)
      },
    })
  },
}

async function packedWith(kind: 'zstd' | 'lzma2', number: number): Promise<Buffer> {
  const packer = codecs.openPacker(kind, 3, 2 ** WINDOW_LOG)
  const pieces: Piece[] = []
  for (const piece of [CONTENT.subarray(0, 2500), CONTENT.subarray(2500, 2600), CONTENT.subarray(1000)])
    pieces.push({ packed: await packer.push(piece), bytes: piece.length })
  packer.close()
  return Buffer.concat([Buffer.of(number, WINDOW_LOG - LEAST_WINDOW_LOG), ...pieces.map(pieceBytes)])
}

function pieceBytes({ packed, bytes }: Piece): Buffer {
  const lengths = Buffer.alloc(4)
  lengths.writeUInt16LE(packed.length, 0)
  lengths.writeUInt16LE(bytes & 0xffff, 2)
  return Buffer.concat([lengths, packed])
}

function piecesIn(input: Buffer): Piece[] {
  const pieces: Piece[] = []
  for (let at = 2; at + 4 <= input.length && pieces.length < 16; ) {
    const end = at + 4 + input.readUInt16LE(at)
    pieces.push({ packed: input.subarray(at + 4, end), bytes: input.readUInt16LE(at + 2) })
    at = end
  }
  return pieces
}

function mutatePieces(input: Buffer, random: Random, donor: Buffer): Buffer {
  const pieces = piecesIn(input)
  const others = piecesIn(donor)
  for (let left = few(random, 3); left > 0; left--) {
    const at = random.below(pieces.length)
    const piece = pieces[at]
    const way = random.below(6)
    if (piece === undefined || way === 0)
      pieces.splice(at, 0, ...others.slice(random.below(others.length + 1)))
    else if (way === 1) pieces.splice(at, 1)
    else if (way === 2)
      pieces[at] = { ...piece, bytes: random.once(2) ? random.below(65_536) : piece.bytes + 1 }
    else pieces[at] = { ...piece, packed: mutateBytes(piece.packed, random, input, 8192) }
  }
  const head = random.once(8) ? random.bytes(2) : input.subarray(0, 2)
  return Buffer.concat([head, ...pieces.slice(0, 16).map(pieceBytes)])
}

export const decoderTargets = [blocks, streams]
