import type { Manifest, Variant } from '../bundle/manifest.ts'
import { payloadBytes, segmentsBytes } from '../bundle/writer.ts'
import { formatBytes } from '../core/format.ts'

/** The manifest as JSON: no binary, no table of chunks. */
export function documentOf(manifest: Manifest): Record<string, unknown> {
  const { image, variants, ...rest } = manifest
  const { chunks: _, order: __, ...imageDocument } = image
  const summaries = variants.map(({ segments, ...variant }) => ({
    ...variant,
    segments: segments.length,
    bytes: segmentsBytes({ segments }),
  }))
  return { ...rest, image: imageDocument, variants: summaries, payloadBytes: payloadBytes(manifest) }
}

/** The manifest for people: names, and what each line is about. */
export function factsOf({ image, variants, version, epoch, compatible }: Manifest): [string, string][] {
  return [
    ['release', `${version}, epoch ${epoch}, for ${compatible}`],
    ['image', `${shortDigest(image.digest)}, ${image.fs}, ${formatBytes(image.bytes)}`],
    ...variants.map((variant): [string, string] => [
      'made from',
      `${describeBase(variant)}: ${formatBytes(segmentsBytes(variant))}, needs ${formatBytes(variant.memoryBytes)} of memory`,
    ]),
  ]
}

export function describe(manifest: Manifest): string {
  return factLines(factsOf(manifest))
}

export function factLines(facts: readonly (readonly [string, string])[]): string {
  return facts.map(([name, text]) => `${name.padEnd(12)}${text}`).join('\n')
}

function describeBase({ base }: Variant): string {
  return base === undefined ? 'nothing' : `${shortDigest(base.digest)} (${formatBytes(base.bytes)})`
}

export function shortDigest(digest: string): string {
  return digest.slice(0, 12)
}
