import { dirname } from 'node:path'
import { Command } from 'commander'
import { buildDisk, type DiskRequest, describeDisk, planLayout } from '../build/disk.ts'
import type { SlotOrigin } from '../build/first-slot.ts'
import { makeWhole } from '../build/whole-file.ts'
import { PineError } from '../core/error.ts'
import type { OnStage } from '../core/progress.ts'
import type { Layout } from '../model/layout.ts'
import { type Io, printResult } from './io.ts'
import {
  type BootedReleaseOptions,
  bootedReleaseOptions,
  byteSize,
  dryRunOption,
  examples,
  jsonOption,
} from './options.ts'
import { createProgress } from './progress.ts'

export function diskCommand(io: Io): Command {
  return new Command('disk').description('Make disk images that boot.').addCommand(buildCommand(io))
}

/** What `disk build` and `install` have in common. */
export interface ContentOptions extends BootedReleaseOptions {
  image?: string
  ostree?: string
  ref?: string
  layout: string
  json?: boolean
  dryRun?: boolean
}

export function contentOptions(command: Command): Command {
  const content = command
    .requiredOption('--layout <file>', 'sfdisk script, see layouts/')
    .option('--image <file>', 'image for slot a, from "image build"')
    .option('--ostree <repo>', 'instead of an image: OSTree repository with the tree for slot a')
    .option('--ref <rev>', 'with --ostree: a ref, a commit, or the start of one')
  return bootedReleaseOptions(content).addOption(dryRunOption()).addOption(jsonOption())
}

export async function diskRequest(
  io: Io,
  options: ContentOptions,
  { target, workDir }: Pick<DiskRequest, 'target' | 'workDir'>,
): Promise<Omit<DiskRequest, 'diskBytes'>> {
  const origin = originOf(options)
  const layout = await io.host.readFile(options.layout)
  if (layout === undefined) throw new PineError('FILE_NOT_FOUND', `there is no layout ${options.layout}`)
  const { compatible, release: version, epoch, append } = options
  return { layout: layout.toString(), origin, target, workDir, compatible, version, epoch, append }
}

function originOf({ image, ostree, ref }: ContentOptions): SlotOrigin {
  if (image !== undefined && ostree === undefined && ref === undefined) return { image }
  if (image === undefined && ostree !== undefined && ref !== undefined) return { ostree, ref }
  throw new PineError('USAGE', 'expected --image FILE, or --ostree REPO with --ref REV')
}

function buildCommand(io: Io): Command {
  const command = contentOptions(
    new Command('build')
      .description('Make a disk image from a layout and an image: loader, slot a, state; slot b is empty.')
      .requiredOption('--out <file>', 'the disk image to make')
      .requiredOption('--size <size>', 'of the disk, such as 4G; takes only what is used', byteSize),
  ).action((options: ContentOptions & { out: string; size: number }) => runBuild(io, options))
  return examples(command, [
    'disk build --layout layouts/gpt-bios.sfdisk --image web-1.0.squashfs --compatible web --release 1.0 \\\n' +
      '      --size 4G --out web.img',
    'disk build --layout layouts/gpt-bios.sfdisk --ostree ./repo --ref web/1.0 --compatible web --release 1.0 \\\n' +
      '      --size 8G --out web.img',
  ])
}

async function runBuild(io: Io, options: ContentOptions & { out: string; size: number }): Promise<void> {
  const { out, size } = options
  const request = {
    ...(await diskRequest(io, options, { target: out, workDir: dirname(out) })),
    diskBytes: size,
  }
  if (options.dryRun === true) return printDryRun(io, request, options)
  if ((await io.host.kindOf(out)) !== undefined) {
    throw new PineError('FILE_EXISTS', `${out} is there already`, { hint: 'remove it, or give another name' })
  }
  const layout = await makeWhole(io.host, out, async (target) => {
    await io.host.createSparse(target, size)
    return writeContent(io, { ...request, target })
  })
  printResult(io, { json: { out: options.out, layout }, text: describeDisk(layout, request) }, options)
}

/** The partition ids of a dry run are those of a trial; the disk gets its own. */
export async function printDryRun(io: Io, request: DiskRequest, options: ContentOptions): Promise<void> {
  const layout = await withProgress(io, (onStage) => planLayout(io.host, request, onStage))
  printResult(io, { json: { dryRun: true, layout }, text: describeDisk(layout, request) }, options)
}

export async function writeContent(io: Io, request: DiskRequest): Promise<Layout> {
  return await withProgress(io, (onStage) => buildDisk(io.host, request, onStage))
}

async function withProgress<T>(io: Io, work: (onStage: OnStage) => Promise<T>): Promise<T> {
  const progress = createProgress(io)
  try {
    return await work((what, done, total) => progress.update(what, done, total))
  } finally {
    progress.end()
  }
}
