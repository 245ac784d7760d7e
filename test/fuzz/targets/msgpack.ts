import { decodeKeyList, decodeKeyLists } from '../../../src/bundle/key-list.ts'
import {
  decodeManifest,
  encodeManifest,
  type ImageManifest,
  type Manifest,
} from '../../../src/bundle/manifest.ts'
import { type Canonical, decodeCanonical, encodeCanonical } from '../../../src/bundle/msgpack.ts'
import { mutateBytes } from '../bytes.ts'
import { readMsgpack, writeMsgpack } from '../msgpack-tree.ts'
import type { Random } from '../random.ts'
import { accepted, defineTarget, requireThat, type TargetEntry } from '../target.ts'
import { mutateTree, type Tree, treeOf } from '../tree.ts'
import { KEY_LISTS, sampleBundles } from './fixtures.ts'

/** Values are changed, and their bytes: in one of three cases both. */
export function mutateMsgpack(input: Buffer, random: Random, donor: Buffer): Buffer {
  const tree = random.once(4) ? undefined : readMsgpack(input)
  if (tree === undefined) return mutateBytes(input, random, donor)
  const changed = mutateTree(tree, random, readMsgpack(donor) ?? null)
  // Long forms are seldom: nothing that has one gets any further.
  const mutated = writeMsgpack(changed, random.once(8) ? random : undefined).subarray(0, 65_536)
  return random.once(8) ? mutateBytes(mutated, random, donor) : mutated
}

/** Every kind of value, at the edges of each length. */
const VALUES: readonly Canonical[] = [
  { a: null, b: true, c: [0, 127, 128, 255, 256, 65_535, 65_536, 4_294_967_295, 4_294_967_296, 2 ** 53 - 1] },
  { text: ['', 'a'.repeat(31), 'a'.repeat(32), 'a'.repeat(256), 'ä日本💾'], raw: new Uint8Array(300) },
  Array.from({ length: 20 }, (_, index) => ({ index })),
]

const canonical: TargetEntry = {
  name: 'msgpack',
  weight: 700_000,
  open: () =>
    defineTarget({
      name: 'msgpack',
      seeds: VALUES.map(encodeCanonical),
      mutate: mutateMsgpack,
      decode: decodeCanonical,
      codes: ['BUNDLE_MALFORMED'],
      verdict(value, input) {
        // Written by other code than the product's, keys in order.
        requireThat(writeMsgpack(sorted(treeOf(value))).equals(input), 'there is another form of this value')
        return accepted(kindsIn(value))
      },
    }),
}

function sorted(tree: Tree): Tree {
  if (Array.isArray(tree)) return tree.map(sorted)
  if (tree === null || typeof tree !== 'object' || Buffer.isBuffer(tree)) return tree
  for (const entry of tree.entries) entry[1] = sorted(entry[1])
  tree.entries.sort(([x], [y]) => (String(x) < String(y) ? -1 : 1))
  return tree
}

/** Of the first few values, two deep. */
function kindsIn(value: unknown, depth = 2): string {
  if (value === null || typeof value !== 'object' || value instanceof Uint8Array) return typeof value
  const inside =
    depth === 0
      ? []
      : Object.values(value)
          .slice(0, 3)
          .map((item) => kindsIn(item, depth - 1))
  return Array.isArray(value) ? `[${[...new Set(inside)].sort()}]` : `{${[...new Set(inside)].sort()}}`
}

const manifests: TargetEntry = {
  name: 'manifest',
  weight: 500_000,
  async open() {
    const samples = (await sampleBundles()).map(({ made }) => made.manifest)
    const ordered = samples.map(withOrder)
    return defineTarget({
      name: 'manifest',
      seeds: [...samples, ...ordered].map(encodeManifest),
      mutate: mutateMsgpack,
      decode: decodeManifest,
      codes: ['BUNDLE_MALFORMED'],
      verdict(manifest, input) {
        requireThat(encodeManifest(manifest).equals(input), 'the manifest that was read is another one')
        requireSense(manifest)
        if ('tree' in manifest) return accepted('tree')
        const { image, variants, kernel, expires } = manifest
        return accepted(
          [image.order?.length, variants.length, kernel, expires].map((part) => part !== undefined).join(),
        )
      },
    })
  },
}

function withOrder(manifest: ImageManifest): Manifest {
  const { bytes } = manifest.image
  const order = [
    { offset: 4096, bytes: bytes - 4096 },
    { offset: 0, bytes: 4096 },
  ]
  return { ...manifest, image: { ...manifest.image, order } }
}

/** What everything behind the decoder relies on. */
export function requireSense(manifest: Manifest): void {
  const { created, expires } = manifest
  requireThat(expires === undefined || expires > created, 'it was never valid')
  if ('tree' in manifest) {
    requireThat(manifest.tree.bytes > 0, 'a tree of no bytes')
    for (const { segments } of manifest.variants) requireThat(segments.length > 0, 'a delta of no bytes')
  } else requireSenseOfImage(manifest)
}

function requireSenseOfImage({ image, variants }: ImageManifest): void {
  const { bytes, chunkBytes, chunks, order = [{ offset: 0, bytes }] } = image
  requireThat(bytes > 0 && bytes <= 2 ** 44, `an image of ${bytes} bytes`)
  requireThat(chunks.length === 32 * Math.ceil(bytes / chunkBytes), 'a chunk without a digest')
  const covered = order.reduce((sum, span) => sum + span.bytes, 0)
  const isInside = order.every(
    (span) => span.offset >= 0 && span.bytes > 0 && span.offset + span.bytes <= bytes,
  )
  requireThat(covered === bytes && isInside, 'an order that does not cover the image once')
  for (const { base, changes, segments, programSegments, codecs } of variants) {
    requireThat(changes === undefined || base !== undefined, 'changes since nothing')
    requireThat(programSegments >= 1 && programSegments <= segments.length, 'a program without segments')
    requireThat(new Set(codecs.map(({ name }) => name)).size === codecs.length, 'a codec twice')
    requireThat(
      segments.every((segment) => segment.bytes >= 1 && segment.bytes <= 2 ** 24),
      'a segment without limits',
    )
  }
}

const keyList: TargetEntry = {
  name: 'key-list',
  weight: 150_000,
  open: () =>
    defineTarget({
      name: 'key-list',
      seeds: decodeKeyLists(KEY_LISTS).map(({ bytes }) => bytes),
      mutate: mutateMsgpack,
      decode: decodeKeyList,
      codes: ['KEY_LIST_INVALID'],
      verdict(list) {
        for (const { threshold, keys } of [list.root, list.release]) {
          requireThat(
            threshold >= 1 && threshold <= keys.length,
            'a threshold that anybody, or nobody, reaches',
          )
          requireThat(
            keys.every(({ raw }) => raw.length === 32),
            'a key of another length',
          )
        }
        return accepted(`${list.root.keys.length} ${list.release.keys.length}`)
      },
    }),
}

export const msgpackTargets = [canonical, manifests, keyList]
