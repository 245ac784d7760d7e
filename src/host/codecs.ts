import type { LzmaModel, Packer, PackKind, StreamCodec, Unpacker } from '../core/codec.ts'
import {
  type BlockCodecs,
  CODEC_NAMES,
  type CodecName,
  type Encoded,
  type Encoding,
  type StreamEncoder,
} from '../core/encoding.ts'
import { native } from './native.ts'

type Core = ReturnType<typeof native>

/** The codecs of the native core. Throws `NATIVE_MISSING`. */
export function blockCodecs(): BlockCodecs {
  const core = native()
  const fingerprints = new Map<CodecName, string>()
  return {
    fingerprint: (codec) => {
      const found = fingerprints.get(codec) ?? computeFingerprint(core, codec)
      fingerprints.set(codec, found)
      return found
    },
    encode: (encoding, content) => encode(core, encoding, content),
    encoderBytes: ({ codec, params }, contentBytes) =>
      core.encoderBytes(numberOf(codec), params, contentBytes),
    decode: (codec, stored, into) => {
      const made = core.decode(numberOf(codec), stored, into)
      if (made !== into.length) throw new Error(`${codec} made ${made} bytes of content, not ${into.length}`)
    },
    decodeUpTo: (codec, stored, into) => core.decode(numberOf(codec), stored, into),
    openEncoder: (encoding, contentBytes?: number) => openEncoder(core, encoding, contentBytes),
  }
}

function numberOf(codec: CodecName): number {
  return CODEC_NAMES.indexOf(codec)
}

/** Arguments out of range reject like any other failure. */
async function encode(core: Core, { codec, params }: Encoding, content: Uint8Array): Promise<Encoded> {
  return core.encode(numberOf(codec), params, content)
}

// ---- streams

const SIZE_UNKNOWN = 2

function openEncoder(core: Core, encoding: Encoding, contentBytes: number | undefined): StreamEncoder {
  const { codec, params } = encoding
  if (codec !== 'zstd-mt' && codec !== 'gzip') return wholeEncoder(core, encoding)
  const isUnknown = codec === 'gzip' || ((params[1] ?? 0) & SIZE_UNKNOWN) !== 0
  // The length stands in front of the frame.
  if (!isUnknown && contentBytes === undefined) return wholeEncoder(core, encoding)
  const handle = core.openEncoder(numberOf(codec), params, isUnknown ? -1 : (contentBytes ?? -1))
  return {
    push: async (content, last) => core.streamPush(handle, content, last),
    close: () => core.streamClose(handle),
  }
}

function wholeEncoder(core: Core, encoding: Encoding): StreamEncoder {
  return {
    push: async (content, last) => {
      if (!last) throw new Error(`${encoding.codec} takes its content in one piece`)
      return (await encode(core, encoding, content)).stored
    },
    close: () => undefined,
  }
}

const PACK_KINDS: readonly PackKind[] = ['zstd', 'lzma2']

/** The compression of a bundle's own segments. Throws `NATIVE_MISSING`. */
export function streamCodec(): StreamCodec {
  const core = native()
  return {
    openPacker: (kind, level, windowBytes, model = {}) => openPacker(core, [kind, level, windowBytes], model),
    openUnpacker: (kind, windowBytes) => openUnpacker(core, kind, windowBytes),
    add: (into, difference) => core.add(into, difference),
  }
}

function openPacker(
  core: Core,
  [kind, level, windowBytes]: [PackKind, number, number],
  model: LzmaModel,
): Packer {
  const { lc = -1, lp = -1, pb = -1 } = model
  const handle = core.openPacker(PACK_KINDS.indexOf(kind), level, windowBytes, lc, lp, pb)
  return {
    push: async (bytes) => core.streamPush(handle, bytes, false),
    close: () => core.streamClose(handle),
  }
}

function openUnpacker(core: Core, kind: PackKind, windowBytes: number): Unpacker {
  const handle = core.openUnpacker(PACK_KINDS.indexOf(kind), windowBytes)
  return {
    unpack: (packed, into) => core.unpackerUnpack(handle, packed, into),
    close: () => core.unpackerClose(handle),
  }
}

// ---- fingerprints

type Library = keyof ReturnType<Core['versions']> | 'gzip'

interface Probe {
  readonly library: Library
  readonly params: readonly (readonly number[])[]
  readonly bytes: number
}

const KIB = 1024
const GNU_DEFLATE_VERSION = '1'

/** Long enough for matches at a distance; `zstd-mt` has to start a second job, which at level 1 happens after 2 MiB. */
const PROBES: Readonly<Record<CodecName, Probe>> = {
  zstd: {
    library: 'zstd',
    params: [
      [3, 0],
      [15, 1],
    ],
    bytes: 128 * KIB,
  },
  zlib: {
    library: 'zlib',
    params: [
      [9, 15, 0],
      [1, 15, 1],
    ],
    bytes: 256 * KIB,
  },
  deflate: {
    library: 'zlib',
    params: [
      [9, 15, 9, 0],
      [6, 15, 8, 0],
    ],
    bytes: 256 * KIB,
  },
  xz: {
    library: 'lzma',
    params: [
      [6, 128 * KIB, 1, 0],
      [256 + 1, 256 * KIB, 4, 1],
    ],
    bytes: 256 * KIB,
  },
  lz4: { library: 'lz4', params: [[]], bytes: 256 * KIB },
  lz4hc: { library: 'lz4', params: [[9], [12]], bytes: 256 * KIB },
  'lz4hc-fill': {
    library: 'lz4',
    params: [
      [9, 4 * KIB, 0],
      [12, 64 * KIB, 1],
    ],
    bytes: 256 * KIB,
  },
  'zstd-mt': { library: 'zstd', params: [[1, 3]], bytes: 2304 * KIB },
  // Our own code.
  gzip: { library: 'gzip', params: [[9], [6], [1]], bytes: 256 * KIB },
}

function computeFingerprint(core: Core, codec: CodecName): string {
  const { library, params, bytes } = PROBES[codec]
  const content = probeContent(bytes)
  const outputs = params.map((given) => core.encodeSync(numberOf(codec), given, content).stored)
  const version = library === 'gzip' ? GNU_DEFLATE_VERSION : core.versions()[library]
  return `${version}-${core.blake3(Buffer.concat(outputs)).toString('hex', 0, 4)}`
}

/** Words of a few letters, some often: compressors have to choose. The same on every host. */
function probeContent(bytes: number): Buffer {
  const content = Buffer.alloc(bytes)
  let seed = 1
  const next = (below: number) => {
    // Numerical Recipes, chapter 7.1: a full period modulo 2^32; the high bits are the random ones.
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
    return Math.floor((seed / 2 ** 32) * below)
  }
  for (let at = 0; at < bytes; ) {
    // Multiplying makes small numbers, and with them early words, frequent.
    const word = next(1 + next(4000))
    const length = 2 + (word % 7)
    for (let letter = 0; letter < length; letter++) content[at++] = 97 + ((word * (letter + 3)) % 26)
    content[at++] = 32
  }
  return content
}
