import { baseOf, type Manifest, type Variant } from '../bundle/manifest.ts'
import type { Source } from '../bundle/source.ts'
import type { TreeVariant } from '../bundle/tree-manifest.ts'
import { payloadBytes, segmentsBytes } from '../bundle/writer.ts'
import { showName } from '../core/file-name.ts'
import { formatBytes } from '../core/format.ts'

/** The manifest as JSON: no binary, no table of chunks. */
export function documentOf(manifest: Manifest): Record<string, unknown> {
  const variants = manifest.variants.map(({ segments, ...variant }) => ({
    ...variant,
    segments: segments.length,
    bytes: segmentsBytes({ segments }),
  }))
  const counted = { variants, payloadBytes: payloadBytes(manifest) }
  if ('tree' in manifest) return { ...manifest, ...counted }
  const { chunks: _, order: __, ...image } = manifest.image
  return { ...manifest, image, ...counted }
}

/** The manifest for people: names, and what each line is about. */
export function factsOf(manifest: Manifest): [string, string][] {
  const { variants, version, epoch, compatible, source } = manifest
  return [
    ['release', `${version}, epoch ${epoch}, for ${compatible}`],
    contentLine(manifest),
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

function contentLine(manifest: Manifest): [string, string] {
  if ('tree' in manifest)
    return ['tree', `${shortDigest(manifest.tree.commit)}, ${formatBytes(manifest.tree.bytes)}`]
  const { digest, fs, bytes } = manifest.image
  return ['image', `${shortDigest(digest)}, ${fs}, ${formatBytes(bytes)}`]
}

function describeBase(variant: Variant | TreeVariant): string {
  const base = baseOf(variant)
  if (base === undefined) return 'nothing'
  return `${shortDigest(base)} (${formatBytes(variant.base?.bytes ?? 0)})`
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
