import { Command, Option } from 'commander'
import { buildFolder } from '../build/folder.ts'
import { formatBytes } from '../core/format.ts'
import { type Io, printResult } from './io.ts'
import { shortDigest } from './manifest-text.ts'
import { dryRunOption, examples, type FirstCommitOptions, firstCommitOptions, jsonOption } from './options.ts'
import { createProgress } from './progress.ts'

export function folderCommand(io: Io): Command {
  return new Command('folder')
    .description('Make machines whose slots are folders with a tree in each.')
    .addCommand(buildCommand(io))
}

interface BuildOptions extends FirstCommitOptions {
  files: 'link' | 'copy'
  json?: boolean
  dryRun?: boolean
}

function buildCommand(io: Io): Command {
  const command = firstCommitOptions(
    new Command('build')
      .description('Make a folder with a boot state, slot a with the tree of a commit, and an empty slot b.')
      .argument('<dir>', 'the folder to make'),
  )
    .addOption(
      new Option('--files <how>', 'copy: for slots that are written while they run')
        .choices(['link', 'copy'])
        .default('link'),
    )
    .addOption(dryRunOption())
    .addOption(jsonOption())
    .action((dir: string, options: BuildOptions) => runBuild(io, dir, options))
  return examples(command, [
    'folder build ./web --ostree ./repo --ref web/1.0 --compatible web --release 1.0',
  ])
}

async function runBuild(io: Io, dir: string, options: BuildOptions): Promise<void> {
  const { ostree, ref, compatible, release: version, epoch, files } = options
  const request = { dir, ostree, ref, compatible, version, epoch, files }
  if (options.dryRun === true) {
    const text = `would make ${dir} with ${version} in slot a, commit ${ref} of ${ostree}`
    return printResult(io, { json: { dryRun: true, ...request }, text }, options)
  }
  const progress = createProgress(io)
  const building = buildFolder(io.host, { ...request, onStep: (label) => progress.update(label) })
  const a = await building.finally(() => progress.end())
  const text = `${dir}: slot a holds ${version} (commit ${shortDigest(a.digest)}, ${formatBytes(a.bytes)})`
  printResult(io, { json: { dir, slots: { a, b: null } }, text }, options)
}
