import type { Variant } from '../../../src/bundle/manifest.ts'
import { digestOf } from '../../../src/core/digest.ts'
import { mutateBytes } from '../bytes.ts'
import { readMsgpack, writeMsgpack } from '../msgpack-tree.ts'
import { few, type Random } from '../random.ts'
import { accepted, defineTarget, refused, requireThat, type TargetEntry } from '../target.ts'
import { Pairs, type Tree } from '../tree.ts'
import { applyTo, emptySlot, requireRightChunks } from './bundle.ts'
import { type BundleParts, join, recordOf, split } from './bundle-parts.ts'
import { alice, bob, sampleBundles } from './fixtures.ts'
import { mutateMsgpack } from './msgpack.ts'

const MIB = 1024 * 1024
/** What this host has for an apply. */
const MOST_MEMORY = 48 * MIB

/** A CI that went wrong, or worse: manifest and segments are changed, their digests are right, and so are two signatures. */
function mutateSigned(input: Buffer, random: Random, donor: Buffer): Buffer {
  const parts = split(input)
  for (let left = few(random, 3); left > 0; left--) {
    if (random.once(3)) parts.manifest = mutateMsgpack(parts.manifest, random, split(donor).manifest)
    else changeSegment(parts, random, split(donor).payload)
  }
  return signed(parts)
}

function signed(parts: BundleParts): Buffer {
  return join({
    ...parts,
    records: [alice, bob].map((key) => recordOf(key, parts.manifest)),
    keyLists: Buffer.alloc(0),
  })
}

/** One segment has other bytes, and the manifest says so. */
function changeSegment(parts: BundleParts, random: Random, donor: Buffer): void {
  const tree = readMsgpack(parts.manifest)
  if (tree === undefined) return
  const segments = listsAt(tree, 'variants').flatMap((variant) => listsAt(variant, 'segments'))
  const chosen = random.below(segments.length)
  let at = 0
  for (const segment of segments.slice(0, chosen)) at += Number(valueAt(segment, 'bytes'))
  const segment = segments[chosen]
  const end = at + Number(valueAt(segment, 'bytes'))
  if (segment === undefined || !(end <= parts.payload.length)) return
  const bytes = mutateBytes(parts.payload.subarray(at, end), random, donor)
  parts.payload = Buffer.concat([parts.payload.subarray(0, at), bytes, parts.payload.subarray(end)])
  setAt(segment, 'bytes', bytes.length)
  setAt(segment, 'digest', Buffer.from(digestOf(bytes), 'hex'))
  parts.manifest = writeMsgpack(tree)
}

function valueAt(tree: Tree | undefined, key: string): Tree | undefined {
  return tree instanceof Pairs ? tree.entries.find(([name]) => name === key)?.[1] : undefined
}

function listsAt(tree: Tree, key: string): Tree[] {
  const list = valueAt(tree, key)
  return Array.isArray(list) ? list : []
}

function setAt(tree: Tree, key: string, value: Tree): void {
  const entry = tree instanceof Pairs ? tree.entries.find(([name]) => name === key) : undefined
  if (entry !== undefined) entry[1] = value
}

/** What `judgeBundle` would say of memory; the rest of the policy is no matter of decoders. */
function fits({ memoryBytes }: Variant): boolean {
  return memoryBytes <= MOST_MEMORY
}

export const hostileBundle: TargetEntry = {
  name: 'signed-by-fools',
  weight: 60_000,
  perRound: 2000,
  slowness: 10,
  async open() {
    const samples = await sampleBundles()
    return defineTarget({
      name: 'signed-by-fools',
      seeds: samples.map(({ bytes }) => signed(split(bytes))),
      mutate: mutateSigned,
      decode: (input) => applyTo(emptySlot(), input, fits),
      codes: [
        ...(['BUNDLE_MALFORMED', 'BUNDLE_TRUNCATED', 'BUNDLE_CORRUPT', 'IMAGE_TOO_BIG'] as const),
        ...(['BASE_MISMATCH', 'CODEC_MISMATCH'] as const),
      ],
      verdict(applied) {
        requireRightChunks(applied)
        if (applied.error === 'nothing for this host') return refused('MEMORY_TOO_SMALL')
        if (applied.error !== undefined) throw applied.error
        const { image } = applied.manifest ?? {}
        requireThat(
          image !== undefined && image.bytes <= applied.slot.length,
          'an image that is longer than the slot',
        )
        return accepted(`${applied.manifest?.variants.length} ${image?.order?.length}`)
      },
    })
  },
}
