import type { BlockCodecs, Encoding } from '../core/encoding.ts'
import type { Payload } from './payload.ts'

const SAMPLE_BYTES = 2 * 1024 * 1024
const LONG_BYTES = 4 * SAMPLE_BYTES
const MOST_TRIES = 8
const MOST_LONG_TRIES = 4
/** Of the encoded sample: only its end looks different where more content follows. */
const SURE_SHARE = 0.75

/** A payload, and the bytes that its content is to become. */
export interface Claim {
  readonly payload: Payload
  readonly stored: Buffer
}

/** The first candidate that makes exactly `stored` of the content; of long content only likely ones are tried. */
export async function proveEncoding(codecs: BlockCodecs, claim: Claim): Promise<Encoding | undefined> {
  const { content } = claim.payload
  let tries = content.length > LONG_BYTES ? MOST_LONG_TRIES : MOST_TRIES
  for await (const encoding of inOrder(codecs, claim)) {
    const made = await tryEncode(codecs, encoding, content)
    if (made?.equals(claim.stored)) return encoding
    if (--tries === 0) return undefined
  }
  return undefined
}

/** Of long content first those that a sample is sure of, and of the others only the best. */
async function* inOrder(codecs: BlockCodecs, claim: Claim): AsyncGenerator<Encoding> {
  const { content, candidates } = claim.payload
  if (content.length <= LONG_BYTES || candidates.length === 1) {
    yield* candidates
    return
  }
  let best: { alike: readonly Encoding[]; share: number } = { alike: [], share: 0 }
  for (const alike of bySample(candidates)) {
    const share = await sampleShare(codecs, alike[0], claim)
    if (share >= SURE_SHARE) yield* alike
    else if (share > best.share) best = { alike, share }
  }
  yield* best.alike
}

/** Candidates that make the same of a sample are together. */
function bySample(candidates: readonly Encoding[]): Iterable<readonly [Encoding, ...Encoding[]]> {
  const groups = new Map<string, [Encoding, ...Encoding[]]>()
  for (const encoding of candidates) {
    const key = JSON.stringify(asSample(encoding))
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [encoding])
    else group.push(encoding)
  }
  return groups.values()
}

/** The start of a long zstd frame is what the same level makes of content it does not know the length of. */
function asSample({ codec, params }: Encoding): Encoding {
  if (codec !== 'zstd' && codec !== 'zstd-mt') return { codec, params }
  return { codec: 'zstd', params: [params[0] ?? 0, 2] }
}

/** Which part of the encoded start of the content agrees with what is stored, from its start on. */
async function sampleShare(codecs: BlockCodecs, encoding: Encoding, claim: Claim): Promise<number> {
  const { content, headBytes } = claim.payload
  const made = await tryEncode(codecs, asSample(encoding), content.subarray(0, SAMPLE_BYTES))
  if (made === undefined) return 0
  const sample = made.subarray(headBytes(made))
  const stored = claim.stored.subarray(headBytes(claim.stored))
  let agrees = 0
  while (agrees < sample.length && sample[agrees] === stored[agrees]) agrees++
  return agrees / sample.length
}

/** Nothing where the codec does not take these parameters: it did not make the payload then. */
async function tryEncode(
  codecs: BlockCodecs,
  encoding: Encoding,
  content: Buffer,
): Promise<Buffer | undefined> {
  try {
    return (await codecs.encode(encoding, content)).stored
  } catch {
    return undefined
  }
}
