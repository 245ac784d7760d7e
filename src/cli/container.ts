import { Command } from 'commander'
import { describeInit, initContainer } from '../container/init.ts'
import { requireContainer } from '../container/problems.ts'
import { undoContainer } from '../container/undo.ts'
import { type Io, printResult } from './io.ts'
import { shortDigest } from './manifest-text.ts'
import { dryRunOption, examples, type FirstCommitOptions, firstCommitOptions, jsonOption } from './options.ts'
import { createProgress } from './progress.ts'

export function containerCommand(io: Io): Command {
  return new Command('container')
    .description('Give a running container (LXC, OpenVZ) two slots, and take them away again.')
    .addCommand(initCommand(io))
    .addCommand(undoCommand(io))
}

interface CommonOptions {
  root: string
  json?: boolean
  dryRun?: boolean
}

function commonOptions(command: Command): Command {
  return command
    .option('--root <dir>', 'of a container that is stopped, as its host has it', '/')
    .addOption(dryRunOption())
    .addOption(jsonOption())
}

interface InitOptions extends CommonOptions, FirstCommitOptions {
  exchange?: boolean
}

function initCommand(io: Io): Command {
  const command = commonOptions(
    firstCommitOptions(
      new Command('init').description(
        'Put a commit into slot a and start it from now on. The system that is there stays as it is.',
      ),
    ),
  )
    .option('--exchange', 'where nothing may be mounted: slots change places with what is at the root')
    .action((options: InitOptions) => runInit(io, options))
  const what = '--ostree ./repo --ref web/1.0 --compatible web --release 1.0'
  return examples(command, [
    `container init ${what} --dry-run`,
    `container init ${what} --root /var/lib/lxc/web/rootfs`,
  ])
}

async function runInit(io: Io, options: InitOptions): Promise<void> {
  const { root, exchange = false, ostree, ref, compatible, release: version, epoch } = options
  const progress = createProgress(io)
  const onStep = (label: string): void => progress.update(label)
  const request = { root, exchange, ostree, ref, compatible, version, epoch, onStep }
  if (options.dryRun === true) {
    await requireContainer(io.host, request)
    const steps = describeInit(request)
    return printResult(io, { json: { dryRun: true, steps }, text: steps.join('\n') }, options)
  }
  const a = await initContainer(io.host, request).finally(() => progress.end())
  const text = `slot a holds ${version} (commit ${shortDigest(a.digest)}); it runs after the next restart of the container`
  printResult(io, { json: { root, slots: { a, b: null } }, text }, options)
}

function undoCommand(io: Io): Command {
  const command = commonOptions(
    new Command('undo').description('Go back to the system that was there before "container init".'),
  ).action((options: CommonOptions) => runUndo(io, options))
  return examples(command, ['container undo', 'container undo --root /var/lib/lxc/web/rootfs'])
}

const OUTCOMES = {
  old: 'the container is as it was before "container init"',
  restart: 'the old system starts next; run "pine-update container undo" there to remove the slots',
}

async function runUndo(io: Io, options: CommonOptions): Promise<void> {
  if (options.dryRun === true) {
    const text = 'would let the old system start from now on, and remove /.pine where no slot runs'
    return printResult(io, { json: { dryRun: true, root: options.root }, text }, options)
  }
  const outcome = await undoContainer(io.host, options.root)
  printResult(io, { json: { outcome }, text: OUTCOMES[outcome] }, options)
}
