import { Command } from 'commander'
import { unpackChanges } from '../bundle/changes.ts'
import { baseOf, decodeManifest, type Manifest, type Variant } from '../bundle/manifest.ts'
import type { OpenedBundle } from '../bundle/reader.ts'
import { PineError } from '../core/error.ts'
import { formatBytes } from '../core/format.ts'
import { blockCodecs } from '../host/codecs.ts'
import { changesPage } from './changes-html.ts'
import { changesText } from './changes-text.ts'
import { changesDocument, viewChanges } from './changes-view.ts'
import { type Io, printResult } from './io.ts'
import { documentOf, factLines, factsOf, shortDigest } from './manifest-text.ts'
import { examples, jsonOption } from './options.ts'
import { BUNDLE_ARGUMENT, type SourceOptions, sourceOptions, withBundle } from './source.ts'

interface InspectOptions extends SourceOptions {
  changes?: boolean
  base?: string
  html?: boolean
  out?: string
  json?: boolean
}

export function inspectCommand(io: Io): Command {
  const command = sourceOptions(new Command('inspect'))
    .description('Show what a bundle says of itself. Checks no signature: for that there is "bundle verify".')
    .argument('<bundle>', BUNDLE_ARGUMENT)
    .option('--changes', 'list packages and files that changed since the base')
    .option('--base <digest>', 'with --changes: since which base, by the start of its digest')
    .option('--html', 'with --changes: as one HTML page that needs nothing else')
    .option('--out <file>', 'with --html: write the page there')
    .addOption(jsonOption())
    .action((path: string, options: InspectOptions) => {
      checkOptions(options)
      return withBundle(io, { path, options }, (opened) => runInspect(io, opened, options))
    })
  return examples(command, [
    'bundle inspect web-2.0.bundle',
    'bundle inspect web-2.0.bundle --json',
    'bundle inspect web-2.0.bundle --changes',
    'bundle inspect web-2.0.bundle --changes --html --out web-2.0.html',
  ])
}

function checkOptions({ changes, base, html, out, json }: InspectOptions): void {
  if (changes !== true && (base !== undefined || html === true))
    throw new PineError('USAGE', '--base and --html go with --changes')
  if (out !== undefined && html !== true) throw new PineError('USAGE', '--out goes with --html')
  if (html === true && json === true) throw new PineError('USAGE', 'give either --html or --json')
}

async function runInspect(io: Io, opened: OpenedBundle, options: InspectOptions): Promise<void> {
  const manifest = decodeManifest(opened.manifestBytes)
  const signedBy = opened.signatures.map((signature) => signature.keyId)
  const json = { ...documentOf(manifest), signedBy, verified: false }
  const facts: Facts = [
    ...factsOf(manifest),
    ['signed by', `${signedBy.join(', ') || 'nobody'} (not checked)`],
  ]
  if (options.changes === true) return await showChanges(io, opened, { manifest, facts, json, options })
  printResult(io, { json, text: factLines(facts) }, options)
}

type Facts = (readonly [string, string])[]

interface Inspected {
  manifest: Manifest
  facts: Facts
  json: object
  options: InspectOptions
}

async function showChanges(
  io: Io,
  opened: OpenedBundle,
  { manifest, facts, json, options }: Inspected,
): Promise<void> {
  const { variants } = manifest
  const { variant, base, entry } = chooseList(variants, options.base)
  const list = unpackChanges(await opened.changes(variants, variant), entry, blockCodecs())
  const view = viewChanges(list)
  const all: Facts = [...facts, ['changes', `since ${shortDigest(base)}; ${view.summary}`]]
  if (options.html === true) {
    const title = `Changes in ${manifest.version} for ${manifest.compatible}`
    return await givePage(io, changesPage({ title, facts: all, view }), options.out)
  }
  const document = { ...json, changes: changesDocument(list, base) }
  printResult(io, { json: document, text: `${factLines(all)}\n${changesText(view)}` }, options)
}

async function givePage(io: Io, page: string, out: string | undefined): Promise<void> {
  if (out === undefined) return io.stdout(page)
  await io.host.replaceFile(out, page)
  io.stdout(`${out}: ${formatBytes(Buffer.byteLength(page))}\n`)
}

interface Listed {
  variant: Manifest['variants'][number]
  base: string
  entry: NonNullable<Variant['changes']>
}

/** The list that is meant, where there is one. Throws `USAGE`. */
function chooseList(variants: Manifest['variants'], prefix: string | undefined): Listed {
  const listed = variants.flatMap((variant): Listed[] => {
    const base = baseOf(variant)
    const { changes } = variant
    return base !== undefined && changes ? [{ variant, base, entry: changes }] : []
  })
  const found = listed.filter(({ base }) => base.startsWith((prefix ?? '').toLowerCase()))
  const [only, second] = found
  if (only !== undefined && second === undefined) return only
  const bases = listed.map(({ base }) => shortDigest(base)).join(', ')
  if (listed.length === 0) {
    throw new PineError('USAGE', 'the bundle lists no changes', {
      hint: 'it was made with --no-changes, without --from, or from an image that cannot be looked into',
    })
  }
  throw new PineError(
    'USAGE',
    only === undefined ? `no list of changes is since base ${prefix}` : 'several lists of changes are meant',
    { hint: `give one of these with --base: ${bases}` },
  )
}
