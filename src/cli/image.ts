import { Command } from 'commander'
import { buildCommitImages } from '../build/commit.ts'
import { buildImage, type ImageShape } from '../build/image.ts'
import { describePrepare, prepareTree } from '../build/prepare.ts'
import type { Source } from '../bundle/source.ts'
import { digestRegion } from '../core/digest-region.ts'
import { PineError } from '../core/error.ts'
import { formatBytes } from '../core/format.ts'
import { distFolder } from '../host/assets.ts'
import { nativeHashing } from '../host/native.ts'
import { imageShape, type ShapeOptions, shapeOptions } from './image-shape.ts'
import { type Io, printResult } from './io.ts'
import { describeSource } from './manifest-text.ts'
import { dryRunOption, examples, jsonOption } from './options.ts'
import { createProgress } from './progress.ts'

export function imageCommand(io: Io): Command {
  return new Command('image')
    .description('Make the read-only images that slots hold.')
    .addCommand(buildCommand(io))
    .addCommand(prepareCommand(io))
}

interface BuildOptions extends ShapeOptions {
  tree?: string
  tar?: string
  ostree?: string
  ref?: string
  out: string
  json?: boolean
  dryRun?: boolean
}

function buildCommand(io: Io): Command {
  const command = shapeOptions(
    new Command('build')
      .description('Make an image of a root file system; the same tree gives the same bytes.')
      .option('--tree <dir>', 'folder with the root file system')
      .option('--tar <file>', 'tar file with the root file system')
      .option('--ostree <repo>', 'OSTree repository with the root file system; all times are 0')
      .option('--ref <rev>', 'with --ostree: a ref, a commit, or the start of one')
      .requiredOption('--out <file>', 'the image to write'),
  )
    .addOption(dryRunOption())
    .addOption(jsonOption())
    .action((options: BuildOptions) => runBuild(io, options))
  return examples(command, [
    'image build --tree ./rootfs --out web-2.0.squashfs',
    'image build --tar rootfs.tar --fs ext4 --out web-2.0.ext4',
    'image build --ostree ./repo --ref web/2.0 --out web-2.0.squashfs',
  ])
}

async function runBuild(io: Io, options: BuildOptions): Promise<void> {
  const from = originOf(options)
  const shape = imageShape(options)
  const { out } = options
  const { fs } = shape
  if (options.dryRun === true) {
    const text = `would make a ${fs} image of ${nameOf(from)} in ${out}`
    return printResult(io, { json: { dryRun: true, ...from, out, fs }, text }, options)
  }
  const source = await build(io, { from, out, shape })
  const image = await io.host.openRegion(out)
  const digest = await digestRegion(image, { hashing: nativeHashing() })
  await image.close()
  const json = { out, fs, bytes: image.bytes, digest, ...(source && { source }) }
  const made = `${out}: ${fs}, ${formatBytes(image.bytes)}, ${digest}`
  const text = source ? `${made}\ncommit ${describeSource(source)}` : made
  printResult(io, { json, text }, options)
}

/** A folder or tar file, or a commit. */
type Origin = { from: string } | { ostree: string; ref: string }

function originOf({ tree, tar, ostree, ref }: BuildOptions): Origin {
  const [from, second] = [tree, tar, ostree].filter((given) => given !== undefined)
  if (from === undefined || second !== undefined) {
    throw new PineError('USAGE', 'expected exactly one of --tree DIR, --tar FILE and --ostree REPO')
  }
  if ((ostree === undefined) !== (ref === undefined)) {
    throw new PineError('USAGE', '--ostree REPO and --ref REV go together')
  }
  return ostree === undefined || ref === undefined ? { from } : { ostree, ref }
}

function nameOf(origin: Origin): string {
  return 'from' in origin ? origin.from : `${origin.ref} in ${origin.ostree}`
}

interface Build {
  from: Origin
  out: string
  shape: ImageShape
}

/** Returns what an image of a commit was made of. */
async function build(io: Io, { from, out, shape }: Build): Promise<Source | undefined> {
  if ('ostree' in from) {
    const progress = createProgress(io)
    const images = [{ rev: from.ref, out }]
    const request = { repo: from.ostree, images, shape, onStep: (label: string) => progress.update(label) }
    const sources = await buildCommitImages(io.host, request).finally(() => progress.end())
    return sources[0]
  }
  const epoch = process.env.SOURCE_DATE_EPOCH
  const times = epoch === undefined ? {} : { epochSeconds: Number(epoch) }
  await buildImage(io.host, { ...from, ...shape, out, ...times })
  return undefined
}

function prepareCommand(io: Io): Command {
  const command = new Command('prepare')
    .description(
      'Install pine-update into a Debian or Ubuntu tree: agent, units, initramfs. Changes the tree.',
    )
    .argument('<tree>', 'folder with the root file system')
    .option('--container', 'for containers: needs libostree, and neither kernel nor initramfs')
    .addOption(dryRunOption())
    .addOption(jsonOption())
    .action((tree: string, options: PrepareOptions) => runPrepare(io, tree, options))
  return examples(command, ['image prepare ./rootfs', 'image prepare ./rootfs --container'])
}

interface PrepareOptions {
  container?: boolean
  json?: boolean
  dryRun?: boolean
}

async function runPrepare(io: Io, tree: string, options: PrepareOptions): Promise<void> {
  const kind = options.container === true ? 'container' : 'disk'
  if (options.dryRun === true) {
    const steps = await describePrepare(io.host, tree, kind)
    return printResult(io, { json: { dryRun: true, tree, steps }, text: steps.join('\n') }, options)
  }
  const dist = distFolder()
  await prepareTree(io.host, tree, { kind, systemDir: `${dist}/system`, cliBundleDir: dist })
  const next = kind === 'disk' ? 'pine-update image build' : 'ostree commit'
  printResult(io, { json: { tree }, text: `${tree} is ready for "${next}"` }, options)
}
