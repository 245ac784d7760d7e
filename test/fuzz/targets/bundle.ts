import type { ImageManifest, Variant } from '../../../src/bundle/manifest.ts'
import { type OpenedBundle, openBundle } from '../../../src/bundle/reader.ts'
import { blake3, digestOf } from '../../../src/core/digest.ts'
import type { ByteSource } from '../../../src/core/region.ts'
import { writeImage } from '../../../src/delta/apply.ts'
import { verifyManifest } from '../../../src/trust/verify.ts'
import { codecs, ofImage } from '../../support/bundles.ts'
import { memoryRegion } from '../../support/memory-region.ts'
import { accepted, defineTarget, requireThat, type TargetEntry, WrongAnswer } from '../target.ts'
import { genuineAmong, join, mutateBundle, signersIn, split } from './bundle-parts.ts'
import { BASE, IMAGE, sampleBundles, THRESHOLD, TRUSTED } from './fixtures.ts'

/** In pieces of a length that is a divisor of nothing. */
async function* arriving(bytes: Buffer): ByteSource {
  for (let at = 0; at < bytes.length; at += 997) yield bytes.subarray(at, at + 997)
}

/** Header, manifest and signatures, without segments. */
const signed: TargetEntry = {
  name: 'bundle-signatures',
  weight: 150_000,
  slowness: 3,
  async open() {
    const samples = await sampleBundles()
    const genuine = genuineAmong(samples)
    return defineTarget({
      name: 'bundle-signatures',
      seeds: samples.map(({ bytes }) => join({ ...split(bytes), payload: Buffer.alloc(0) })),
      mutate: mutateBundle,
      decode: async (input) =>
        verifyManifest(await openBundle(arriving(input)), TRUSTED, { threshold: THRESHOLD }),
      codes: [
        'BUNDLE_MALFORMED',
        'BUNDLE_TOO_NEW',
        'BUNDLE_TRUNCATED',
        'BUNDLE_UNSIGNED',
        'BUNDLE_UNTRUSTED',
      ],
      verdict(_, input) {
        requireThat(genuine.has(input), 'a manifest is accepted that was not signed by enough keys')
        return accepted(`${signersIn(input)}`)
      },
    })
  },
}

export interface Applied {
  readonly slot: Buffer
  readonly manifest: ImageManifest | undefined
  readonly error: unknown
}

const EMPTY = 0xee
const SLOT_BYTES = 24 * 1024

/** Opens, verifies and writes into an empty slot, as `apply` does. Errors are part of the result: the slot has to be looked at. */
export async function applyTo(
  slot: Buffer,
  input: Buffer,
  isAllowed: (variant: Variant) => boolean,
): Promise<Applied> {
  let manifest: ImageManifest | undefined
  let opened: OpenedBundle | undefined
  try {
    opened = await openBundle(arriving(input))
    manifest = ofImage(verifyManifest(opened, TRUSTED, { threshold: THRESHOLD }))
    const variant = manifest.variants.find(isAllowed)
    if (variant === undefined) return { slot, manifest, error: 'nothing for this host' }
    const segments = opened.segments(manifest.variants, variant)
    await writeImage({
      manifest,
      variant,
      segments,
      codecs,
      target: memoryRegion(slot),
      base: memoryRegion(BASE),
    })
    return { slot, manifest, error: undefined }
  } catch (error) {
    return { slot, manifest, error }
  } finally {
    await opened?.close()
  }
}

export function emptySlot(): Buffer {
  return Buffer.alloc(SLOT_BYTES, EMPTY)
}

/** Each chunk of the slot holds what it held before, or what the manifest says; behind the image nothing changed. */
export function requireRightChunks({ slot, manifest }: Applied): void {
  const isUntouched = (bytes: Buffer): boolean => bytes.every((byte) => byte === EMPTY)
  if (manifest === undefined) {
    requireThat(isUntouched(slot), 'something was written unverified')
    return
  }
  const { bytes, chunkBytes, chunks, order = [{ offset: 0, bytes }] } = manifest.image
  requireThat(isUntouched(slot.subarray(bytes)), 'something was written behind the image')
  const made = Buffer.concat(order.map((span) => slot.subarray(span.offset, span.offset + span.bytes)))
  for (let index = 0; index * chunkBytes < made.length; index++) {
    const chunk = made.subarray(index * chunkBytes, (index + 1) * chunkBytes)
    const isRight = blake3(chunk).equals(chunks.subarray(index * 32, (index + 1) * 32))
    if (!isRight && !isUntouched(chunk)) throw new WrongAnswer(`chunk ${index} was written wrong`)
  }
}

const whole: TargetEntry = {
  name: 'bundle',
  weight: 60_000,
  perRound: 2000,
  slowness: 10,
  async open() {
    const samples = await sampleBundles()
    const genuine = genuineAmong(samples)
    const base = digestOf(BASE)
    return defineTarget({
      name: 'bundle',
      seeds: samples.map(({ bytes }) => bytes),
      mutate: mutateBundle,
      decode: (input) =>
        applyTo(emptySlot(), input, (variant) => variant.base === undefined || variant.base.digest === base),
      codes: [
        ...(['BUNDLE_MALFORMED', 'BUNDLE_TOO_NEW', 'BUNDLE_TRUNCATED', 'BUNDLE_UNSIGNED'] as const),
        ...(['BUNDLE_UNTRUSTED', 'BUNDLE_CORRUPT'] as const),
      ],
      verdict(applied, input) {
        requireRightChunks(applied)
        if (applied.error !== undefined) throw applied.error
        requireThat(genuine.has(input), 'a bundle is applied that was not signed by enough keys')
        requireThat(applied.slot.subarray(0, IMAGE.length).equals(IMAGE), 'another image was written')
        return accepted(`${applied.manifest?.variants.length} ${signersIn(input)}`)
      },
    })
  },
}

export const bundleTargets = [signed, whole]
