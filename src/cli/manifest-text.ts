import type { Manifest, Variant } from '../bundle/manifest.ts'
import type { Source } from '../bundle/source.ts'
import { payloadBytes, segmentsBytes } from '../bundle/writer.ts'
import { showName } from '../core/file-name.ts'
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
export function factsOf(manifest: Manifest): [string, string][] {
  const { image, variants, version, epoch, compatible, source } = manifest
  return [
    ['release', `${version}, epoch ${epoch}, for ${compatible}`],
    ['image', `${shortDigest(image.digest)}, ${image.fs}, ${formatBytes(image.bytes)}`],
    ...(source ? [['commit', describeSource(source)] satisfies [string, string]] : []),
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

/** What the commit says is shown as what it is, text: in quotes, with nothing in it that a terminal would take for its own. */
export function describeSource({ ostree }: Source): string {
  const { commit, ref, version, timestamp, subject } = ostree
  const parts = [
    ref ? `${shortDigest(commit)} of ${ref}` : shortDigest(commit),
    version && `version ${showName(version)}`,
    timestamp !== undefined && new Date(timestamp * 1000).toISOString(),
    subject && showName(subject),
  ]
  return parts.filter(Boolean).join(', ')
}

export function shortDigest(digest: string): string {
  return digest.slice(0, 12)
}
