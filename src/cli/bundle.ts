import { Command } from 'commander'
import { createBundle } from '../build/bundle.ts'
import { decodeManifest, type Manifest } from '../bundle/manifest.ts'
import { type OpenedBundle, openBundle } from '../bundle/reader.ts'
import { payloadBytes } from '../bundle/writer.ts'
import { PineError } from '../core/error.ts'
import { formatBytes } from '../core/format.ts'
import { readKeyring } from '../run/keyring.ts'
import { readSettings } from '../run/settings.ts'
import { parsePrivateKey } from '../trust/keys.ts'
import { verifyManifest } from '../trust/verify.ts'
import { type Io, printResult } from './io.ts'
import { dryRunOption, examples, jsonOption, labelText, versionText, wholeNumber } from './options.ts'
import { createProgress } from './progress.ts'

export function bundleCommand(io: Io): Command {
  return new Command('bundle')
    .description('Make and look at the signed files that carry updates.')
    .addCommand(createCommand(io))
    .addCommand(inspectCommand(io))
    .addCommand(verifyCommand(io))
}

interface CreateOptions {
  from?: string
  to: string
  out: string
  key: string
  compatible: string
  release: string
  epoch: number
  expires?: number
  json?: boolean
  dryRun?: boolean
}

function createCommand(io: Io): Command {
  const command = new Command('create')
    .description('Make a bundle: a delta with --from, a full one without.')
    .option('--from <image>', 'the image that the hosts run now')
    .requiredOption('--to <image>', 'the image of the release')
    .requiredOption('--out <file>', 'the bundle to write')
    .requiredOption('--key <file>', 'secret key from "key generate"')
    .requiredOption('--compatible <id>', 'kind of host it is for', labelText)
    .requiredOption('--release <version>', 'version of the release', versionText)
    .option(
      '--epoch <n>',
      'anti-rollback epoch: hosts never go below one',
      wholeNumber('--epoch', 0, 2 ** 31),
      0,
    )
    .option('--expires <date>', 'refused after that moment, such as 2027-01-31T00:00:00Z', secondsOf)
    .addOption(dryRunOption())
    .addOption(jsonOption())
    .action((options: CreateOptions) => runCreate(io, options))
  return examples(command, [
    'bundle create --from web-1.0.squashfs --to web-2.0.squashfs --release 2.0 \\\n' +
      '      --compatible web --key ~/keys/ci.key --out web-2.0.bundle',
  ])
}

function secondsOf(text: string): number {
  const seconds = Math.floor(Date.parse(text) / 1000)
  if (Number.isSafeInteger(seconds)) return seconds
  throw new PineError('USAGE', `a date looks like 2027-01-31T00:00:00Z, not ${text}`)
}

async function runCreate(io: Io, options: CreateOptions): Promise<void> {
  const pem = await io.host.readFile(options.key)
  if (pem === undefined) throw new PineError('FILE_NOT_FOUND', `there is no key ${options.key}`)
  const key = parsePrivateKey(pem.toString())
  const { from, to, out, compatible, release: version, epoch, expires } = options
  if (options.dryRun === true) {
    const text = `would make a ${from === undefined ? 'full bundle' : `delta from ${from}`} to ${to} in ${out}`
    return printResult(io, { json: { dryRun: true, from: from ?? null, to, out }, text }, options)
  }
  const created = Number(process.env.SOURCE_DATE_EPOCH ?? Math.floor(io.host.now().getTime() / 1000))
  if (expires !== undefined && expires <= created) {
    throw new PineError('USAGE', '--expires is in the past: no host would take the bundle')
  }
  const progress = createProgress(io)
  const onProgress = (done: number, total: number): void => progress.update('make the bundle', done, total)
  const content = { from, to, out, key, compatible, version, epoch, created, expires, onProgress }
  const built = await createBundle(io.host, content).finally(() => progress.end())
  const json = { out, bytes: built.bytes, ...documentOf(built.manifest) }
  printResult(io, { json, text: `${out}: ${formatBytes(built.bytes)}\n${describe(built.manifest)}` }, options)
}

interface ReadOptions {
  keyring?: string
  config?: string
  json?: boolean
}

function inspectCommand(io: Io): Command {
  const command = new Command('inspect')
    .description('Show what a bundle says of itself. Checks no signature: for that there is "bundle verify".')
    .argument('<bundle>', 'a file, or - for standard input')
    .addOption(jsonOption())
    .action((path: string, options: ReadOptions) =>
      withBundle(io, path, async (opened) => {
        const manifest = decodeManifest(opened.manifestBytes)
        const signedBy = opened.signatures.map((signature) => signature.keyId)
        const json = { ...documentOf(manifest), signedBy, verified: false }
        const text = `${describe(manifest)}\nsigned by   ${signedBy.join(', ') || 'nobody'} (not checked)`
        printResult(io, { json, text }, options)
      }),
    )
  return examples(command, ['bundle inspect web-2.0.bundle', 'bundle inspect web-2.0.bundle --json'])
}

function verifyCommand(io: Io): Command {
  const command = new Command('verify')
    .description('Check the signatures and every byte of a bundle.')
    .argument('<bundle>', 'a file, or - for standard input')
    .option('--keyring <path>', 'trusted keys (default: the configured folder)')
    .option('--config <file>', 'configuration (default: /etc/pine-update/config.toml)')
    .addOption(jsonOption())
    .action((path: string, options: ReadOptions) =>
      withBundle(io, path, (opened) => runVerify(io, opened, options)),
    )
  return examples(command, ['bundle verify web-2.0.bundle --keyring ~/keys/ci.pub'])
}

async function runVerify(io: Io, opened: OpenedBundle, options: ReadOptions): Promise<void> {
  const settings = await readSettings(io.host, options.config)
  const keyring = await readKeyring(io.host, options.keyring ?? settings.keyring)
  const manifest = verifyManifest(opened, keyring, { threshold: settings.threshold })
  const progress = createProgress(io)
  const total = payloadBytes(manifest)
  let done = 0
  try {
    for await (const { entry } of opened.segments(manifest.segments)) {
      done += entry.bytes
      progress.update('check the segments', done, total)
    }
  } finally {
    progress.end()
  }
  const json = { ...documentOf(manifest), verified: true }
  printResult(io, { json, text: `${describe(manifest)}\nverified    signatures and every segment` }, options)
}

async function withBundle(io: Io, path: string, use: (opened: OpenedBundle) => Promise<void>): Promise<void> {
  const opened = await openBundle(path === '-' ? io.stdin : io.host.readSource(path))
  try {
    await use(opened)
  } finally {
    await opened.close()
  }
}

/** The manifest as JSON: no binary, no table of chunks. */
function documentOf(manifest: Manifest): Record<string, unknown> {
  const { image, segments, ...rest } = manifest
  const { chunks: _, ...imageDocument } = image
  return { ...rest, image: imageDocument, segments: segments.length, payloadBytes: payloadBytes(manifest) }
}

function describe(manifest: Manifest): string {
  const { image, bases, version, epoch, compatible } = manifest
  const base = bases.map(({ digest, bytes }) => `${digest.slice(0, 12)} (${formatBytes(bytes)})`).join(', ')
  return [
    `release     ${version}, epoch ${epoch}, for ${compatible}`,
    `image       ${image.digest.slice(0, 12)}, ${image.fs}, ${formatBytes(image.bytes)}`,
    `made from   ${base || 'nothing: a full bundle'}`,
    `payload     ${formatBytes(payloadBytes(manifest))} in ${manifest.segments.length} segments`,
  ].join('\n')
}
