import { Command, Option } from 'commander'
import { buildImage, IMAGE_KINDS, type ImageKind } from '../build/image.ts'
import { describePrepare, prepareTree } from '../build/prepare.ts'
import { digestRegion } from '../core/digest-region.ts'
import { PineError } from '../core/error.ts'
import { formatBytes } from '../core/format.ts'
import { distFolder } from '../host/assets.ts'
import { nativeHashing } from '../host/native.ts'
import { type Io, printResult } from './io.ts'
import { dryRunOption, examples, jsonOption, wholeNumber } from './options.ts'

export function imageCommand(io: Io): Command {
  return new Command('image')
    .description('Make the read-only images that slots hold.')
    .addCommand(buildCommand(io))
    .addCommand(prepareCommand(io))
}

interface BuildOptions {
  tree?: string
  tar?: string
  out: string
  fs: ImageKind
  compression: string
  level?: number
  json?: boolean
  dryRun?: boolean
}

function buildCommand(io: Io): Command {
  const command = new Command('build')
    .description('Make an image of a root file system; the same tree gives the same bytes.')
    .option('--tree <dir>', 'folder with the root file system')
    .option('--tar <file>', 'tar file with the root file system')
    .requiredOption('--out <file>', 'the image to write')
    .addOption(new Option('--fs <kind>', 'file system of the image').choices(IMAGE_KINDS).default('squashfs'))
    .addOption(
      new Option('--compression <name>', 'of a squashfs; the loader reads gzip and xz')
        .choices(['gzip', 'xz', 'lzo', 'zstd', 'lz4'])
        .default('gzip'),
    )
    .option(
      '--level <n>',
      'of gzip (1 to 9) or zstd (1 to 22); the default makes updates cheap',
      wholeNumber('--level', 1, 22),
    )
    .addOption(dryRunOption())
    .addOption(jsonOption())
    .action((options: BuildOptions) => runBuild(io, options))
  return examples(command, [
    'image build --tree ./rootfs --out web-2.0.squashfs',
    'image build --tar rootfs.tar --fs ext4 --out web-2.0.ext4',
  ])
}

const MOST_LEVEL: Readonly<Record<string, number>> = { gzip: 9, zstd: 22 }

async function runBuild(io: Io, options: BuildOptions): Promise<void> {
  const from = options.tree ?? options.tar
  if (from === undefined || (options.tree !== undefined && options.tar !== undefined)) {
    throw new PineError('USAGE', 'expected exactly one of --tree DIR and --tar FILE')
  }
  const { out, fs, compression, level } = options
  if (level !== undefined && (fs !== 'squashfs' || level > (MOST_LEVEL[compression] ?? 0))) {
    throw new PineError('USAGE', `there is no --level ${level} of ${fs === 'squashfs' ? compression : fs}`)
  }
  if (options.dryRun === true) {
    const text = `would make a ${fs} image of ${from} in ${out}`
    return printResult(io, { json: { dryRun: true, from, out, fs }, text }, options)
  }
  const epoch = process.env.SOURCE_DATE_EPOCH
  const times = epoch === undefined ? {} : { epochSeconds: Number(epoch) }
  await buildImage(io.host, { from, out, fs, compression, level, ...times })
  const image = await io.host.openRegion(out)
  const digest = await digestRegion(image, { hashing: nativeHashing() })
  await image.close()
  const text = `${out}: ${fs}, ${formatBytes(image.bytes)}, ${digest}`
  printResult(io, { json: { out, fs, bytes: image.bytes, digest }, text }, options)
}

function prepareCommand(io: Io): Command {
  const command = new Command('prepare')
    .description(
      'Install pine-update into a Debian or Ubuntu tree: agent, units, initramfs. Changes the tree.',
    )
    .argument('<tree>', 'folder with the root file system')
    .addOption(dryRunOption())
    .addOption(jsonOption())
    .action((tree: string, options: PrepareOptions) => runPrepare(io, tree, options))
  return examples(command, ['image prepare ./rootfs'])
}

interface PrepareOptions {
  json?: boolean
  dryRun?: boolean
}

async function runPrepare(io: Io, tree: string, options: PrepareOptions): Promise<void> {
  if (options.dryRun === true) {
    const steps = await describePrepare(io.host, tree)
    return printResult(io, { json: { dryRun: true, tree, steps }, text: steps.join('\n') }, options)
  }
  const dist = distFolder()
  await prepareTree(io.host, tree, { systemDir: `${dist}/system`, cliBundleDir: dist })
  printResult(io, { json: { tree }, text: `${tree} is ready for "pine-update image build"` }, options)
}
