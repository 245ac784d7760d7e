import { Command } from 'commander'
import { createBundle } from '../build/bundle.ts'
import { createCommitBundle } from '../build/commit-bundle.ts'
import { createTreeBundle } from '../build/tree-bundle.ts'
import { decodeKeyLists, encodeKeyLists } from '../bundle/key-list.ts'
import type { OpenedBundle } from '../bundle/reader.ts'
import { payloadBytes } from '../bundle/writer.ts'
import { PineError } from '../core/error.ts'
import { formatBytes } from '../core/format.ts'
import { readSettings } from '../run/settings.ts'
import { readTrustedKeys } from '../run/trusted-keys.ts'
import { followKeyLists } from '../trust/key-list.ts'
import { verifyManifest } from '../trust/verify.ts'
import { costDocument, costTable } from './costs.ts'
import { attachCommand, digestCommand, SIGNABLE_BUNDLE } from './external-signing.ts'
import { readKeyChain, readSecretKeys } from './files.ts'
import { imageShape, type ShapeOptions, shapeOptions } from './image-shape.ts'
import { inspectCommand } from './inspect.ts'
import { type Io, printResult, type Result } from './io.ts'
import { describe, documentOf } from './manifest-text.ts'
import {
  appendText,
  dryRunOption,
  examples,
  jsonOption,
  labelText,
  secondsOf,
  versionText,
  wholeNumber,
} from './options.ts'
import { createProgress } from './progress.ts'
import { BUNDLE_ARGUMENT, type SourceOptions, sourceOptions, withBundle } from './source.ts'

export function bundleCommand(io: Io): Command {
  return new Command('bundle')
    .description('Make and look at the signed files that carry updates.')
    .addCommand(createCommand(io))
    .addCommand(inspectCommand(io))
    .addCommand(verifyCommand(io))
    .addCommand(digestCommand(io, SIGNABLE_BUNDLE, 'bundle'))
    .addCommand(attachCommand(io, SIGNABLE_BUNDLE, 'bundle'))
}

interface CreateOptions extends ShapeOptions {
  from?: string[]
  ostree?: string
  tree?: boolean
  full?: boolean
  effort: number
  changes: boolean
  to: string
  out: string
  key?: string[]
  unsigned?: boolean
  keys?: string
  compatible: string
  release: string
  epoch: number
  expires?: number
  json?: boolean
  dryRun?: boolean
}

function createCommand(io: Io): Command {
  const command = shapeOptions(newCreate(), 'with --ostree: ')
    .addOption(dryRunOption())
    .addOption(jsonOption())
    .action((options: CreateOptions) => runCreate(io, options))
  return examples(command, [
    'bundle create --from web-1.0.squashfs --to web-2.0.squashfs --release 2.0 \\\n' +
      '      --compatible web --key ~/keys/ci.key --out web-2.0.bundle',
    'bundle create --ostree ./repo --from web/1.0 --to web/2.0 --release 2.0 \\\n' +
      '      --compatible web --key ~/keys/ci.key --out web-2.0.bundle',
    'bundle create --tree --ostree ./repo --from web/1.0 --to web/2.0 --release 2.0 \\\n' +
      '      --compatible web --key ~/keys/ci.key --out web-2.0.bundle',
  ])
}

function newCreate(): Command {
  return new Command('create')
    .description('Make a bundle: a delta with --from, a full one without.')
    .option('--from <image>', 'an image that hosts run now; may be given several times', appendText)
    .option('--ostree <repo>', '--from and --to are refs or commits of this repository')
    .option('--tree', 'with --ostree: for hosts whose slots hold trees of files, by OSTree deltas')
    .option('--full', 'beside the deltas, what a host needs that runs none of these images')
    .option('--effort <n>', '1 is fast, 9 is small', wholeNumber('--effort', 1, 9), 6)
    .option('--no-changes', 'do not list what changed since each --from; "bundle inspect --changes" shows it')
    .requiredOption('--to <image>', 'the image of the release')
    .requiredOption('--out <file>', 'the bundle to write')
    .option(
      '--key <file>',
      'secret key from "key generate"; several times where hosts want several',
      appendText,
    )
    .option('--unsigned', 'sign it later: "bundle digest" and "bundle attach"')
    .option('--keys <file>', 'key lists to carry along, so that hosts behind a rotation can follow')
    .requiredOption('--compatible <id>', 'kind of host it is for', labelText)
    .requiredOption('--release <version>', 'version of the release', versionText)
    .option(
      '--epoch <n>',
      'anti-rollback epoch: hosts never go below one',
      wholeNumber('--epoch', 0, 2 ** 31),
      0,
    )
    .option('--expires <date>', 'refused after that moment, such as 2027-01-31T00:00:00Z', secondsOf)
}

async function runCreate(io: Io, options: CreateOptions): Promise<void> {
  checkOptions(options)
  checkTree(options)
  const shape = imageShape(options)
  const keys = await readSecretKeys(io, options.key ?? [])
  const keyLists =
    options.keys === undefined ? Buffer.alloc(0) : encodeKeyLists(await readKeyChain(io, options.keys))
  if (options.dryRun === true) return printResult(io, wouldCreate(options), options)
  const { from = [], full = false, to, out, compatible, release: version, epoch, expires, effort } = options
  const created = Number(process.env.SOURCE_DATE_EPOCH ?? Math.floor(io.host.now().getTime() / 1000))
  if (expires !== undefined && expires <= created) {
    throw new PineError('USAGE', '--expires is in the past: no host would take the bundle')
  }
  const progress = createProgress(io)
  const onProgress = (done: number, total: number): void => progress.update('make the bundle', done, total)
  const onStep = (label: string): void => progress.update(label)
  const names = { compatible, version, epoch, created, expires }
  const { changes, ostree: repo, tree } = options
  const places = { from, full, to, out, keys, keyLists, ...names }
  if (repo !== undefined && tree === true) {
    const making = createTreeBundle(io.host, { ...places, repo, changes, onStep })
    const { manifest, bytes } = await making.finally(() => progress.end())
    const json = { out, bytes, ...documentOf(manifest) }
    return printResult(io, { json, text: `${out}: ${formatBytes(bytes)}\n${describe(manifest)}` }, options)
  }
  const content = { ...places, effort, changes, onProgress }
  const building =
    repo === undefined
      ? createBundle(io.host, { ...content, source: undefined })
      : createCommitBundle(io.host, { ...content, repo, shape, onStep })
  const built = await building.finally(() => progress.end())
  const json = {
    out,
    bytes: built.bytes,
    ...documentOf(built.manifest),
    costs: built.variants.map(costDocument),
  }
  const text = [
    `${out}: ${formatBytes(built.bytes)}`,
    describe(built.manifest),
    ...built.variants.map(costTable),
  ]
  printResult(io, { json, text: text.join('\n') }, options)
}

function checkOptions({ key, unsigned, ostree, fs, compression, level }: CreateOptions): void {
  if ((key === undefined) !== (unsigned === true)) {
    throw new PineError('USAGE', 'give either --key or --unsigned', {
      hint: 'with --unsigned the bundle is signed later: "bundle digest" and "bundle attach"',
    })
  }
  if (ostree === undefined && (fs ?? compression ?? level) !== undefined) {
    throw new PineError(
      'USAGE',
      '--fs, --compression and --level go with --ostree: other images are made already',
    )
  }
}

function checkTree({ tree, ostree, fs, compression, level }: CreateOptions): void {
  if (tree !== true) return
  if (ostree === undefined) {
    throw new PineError('USAGE', '--tree goes with --ostree: it sends commits of that repository')
  }
  if ((fs ?? compression ?? level) !== undefined) {
    throw new PineError('USAGE', 'with --tree no image is made: leave out --fs, --compression and --level')
  }
}

function wouldCreate({ ostree, tree, from = [], to, out }: CreateOptions): Result {
  const what = `${tree === true ? 'tree ' : ''}${from.length === 0 ? 'full bundle' : `delta from ${from.join(', ')}`}`
  const where = ostree === undefined ? '' : `, commits of ${ostree},`
  const json = { dryRun: true, ...(ostree !== undefined && { ostree }), from, to, out }
  return { json, text: `would make a ${what} to ${to}${where} in ${out}` }
}

interface VerifyOptions extends SourceOptions {
  keyring?: string
  config?: string
  json?: boolean
}

function verifyCommand(io: Io): Command {
  const command = sourceOptions(new Command('verify'))
    .description('Check the signatures and every byte of a bundle.')
    .argument('<bundle>', BUNDLE_ARGUMENT)
    .option('--keyring <path>', 'trusted keys (default: the configured folder)')
    .option('--config <file>', 'configuration (default: /etc/pine-update/config.toml)')
    .addOption(jsonOption())
    .action((path: string, options: VerifyOptions) =>
      withBundle(io, { path, options }, (opened) => runVerify(io, opened, options)),
    )
  return examples(command, ['bundle verify web-2.0.bundle --keyring ~/keys/ci.pub'])
}

async function runVerify(io: Io, opened: OpenedBundle, options: VerifyOptions): Promise<void> {
  const settings = await readSettings(io.host, options.config)
  const path = options.keyring ?? settings.keyring
  const known = await readTrustedKeys(io.host, { path, threshold: settings.threshold, stored: undefined })
  const lists = opened.keyListBytes.length === 0 ? [] : decodeKeyLists(opened.keyListBytes)
  const { release } = followKeyLists(known, lists)
  const manifest = verifyManifest(opened, release.keys, { threshold: release.threshold })
  const progress = createProgress(io)
  const total = payloadBytes(manifest)
  let done = 0
  try {
    for await (const { bytes } of opened.allSegments(manifest.variants)) {
      done += bytes
      progress.update('check the segments', done, total)
    }
  } finally {
    progress.end()
  }
  const json = { ...documentOf(manifest), verified: true }
  printResult(io, { json, text: `${describe(manifest)}\nverified    signatures and every segment` }, options)
}
