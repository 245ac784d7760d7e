import { Command } from 'commander'
import { contentOf } from '../bundle/manifest.ts'
import { openBundle } from '../bundle/reader.ts'
import { beGentle } from '../host/gentle.ts'
import { keepHeapSmall } from '../host/memory.ts'
import { MAX_TRIES } from '../model/boot-state.ts'
import { describePlan, describeStep } from '../plan/describe.ts'
import type { Plan } from '../plan/step.ts'
import { type ApplyRequest, admitBundle, type ReadyBundle } from '../run/admit.ts'
import { applyBundle } from '../run/apply.ts'
import { type Machine, withMachine } from '../run/machine.ts'
import { readSettings } from '../run/settings.ts'
import { interruptible } from './interruption.ts'
import { type Io, noticeOn, printResult } from './io.ts'
import { dryRunOption, examples, machineOptions, wholeNumber } from './options.ts'
import { createProgress } from './progress.ts'
import { BUNDLE_ARGUMENT, openSource, type SourceOptions, sourceOptions } from './source.ts'

/** What the kernel may hold back at once, so that others wait for the disk for a moment only. */
const GENTLE_UNFLUSHED_BYTES = 4 * 1024 * 1024

interface ApplyOptions extends SourceOptions {
  disk?: string
  config?: string
  keyring?: string
  tries?: number
  reboot?: boolean
  nice?: boolean
  allowDowngrade?: boolean
  allowExpired?: boolean
  forceRejected?: boolean
  dryRun?: boolean
  json?: boolean
}

export function applyCommand(io: Io): Command {
  const command = sourceOptions(machineOptions(new Command('apply')))
    .description('Apply a bundle to the slot that does not run, and make it boot next.')
    .argument('<bundle>', BUNDLE_ARGUMENT)
    .option('--keyring <path>', 'trusted keys (default: the configured folder)')
    .option('--tries <n>', 'boots the release has to prove itself', wholeNumber('--tries', 1, MAX_TRIES))
    .option('--reboot', 'restart when the release is in place')
    .option('--nice', 'leave disk and processor to the services of this server first')
    .option('--allow-downgrade', 'accept an older version or epoch')
    .option('--allow-expired', 'accept a bundle or key list past its date: this clock is wrong')
    .option('--force-rejected', 'accept a release that was rejected here before')
    .addOption(dryRunOption())
    .action((bundle: string, options: ApplyOptions) => runApply(io, bundle, options))
  return examples(command, [
    'apply web-2.0.bundle --reboot',
    'apply web-2.0.bundle --dry-run',
    'apply https://updates.example.org/web-2.0.bundle --nice --limit-rate 2M',
    'apply - --disk web.img --config ci.toml < web-2.0.bundle',
  ])
}

async function runApply(io: Io, path: string, options: ApplyOptions): Promise<void> {
  keepHeapSmall()
  const settings = await readSettings(io.host, options.config)
  const request: ApplyRequest = {
    settings,
    keyring: options.keyring,
    tries: options.tries,
    reboot: options.reboot ?? false,
    allowDowngrade: options.allowDowngrade ?? false,
    allowExpired: options.allowExpired ?? false,
    forceRejected: options.forceRejected ?? false,
  }
  if (options.nice === true) for (const problem of await beGentle(io.host)) noticeOn(io)(problem)
  const how = { disk: options.disk, writable: options.dryRun !== true, notice: noticeOn(io) }
  await withMachine(io.host, how, (machine) =>
    // Stop between two chunks: what is written stays right, and the slot is not armed.
    interruptible(async (signal) => {
      const source = openSource(io, path, { ...options, download: settings.download, signal })
      const opened = await openBundle(source)
      try {
        const ready = await admitBundle(machine, opened, request)
        if (ready.plan === undefined) return printUnchanged(io, ready, options)
        if (options.dryRun === true) return printPlan(io, { ...ready, plan: ready.plan }, options)
        await applyWithProgress(io, { machine, signal, options }, { ...ready, plan: ready.plan })
        printApplied(io, ready, options)
      } finally {
        await opened.close()
      }
    }),
  )
}

interface Work {
  machine: Machine
  signal: AbortSignal
  options: ApplyOptions
}

async function applyWithProgress(
  io: Io,
  { machine, signal, options }: Work,
  ready: ReadyBundle & { plan: Plan },
): Promise<void> {
  const progress = createProgress(io)
  try {
    await applyBundle(machine, ready, {
      signal,
      ...(options.nice === true && { unflushedBytes: GENTLE_UNFLUSHED_BYTES }),
      onBase: (done, total) =>
        progress.update('check the base', done, total, ready.chosen.kind === 'tree' ? 'objects' : undefined),
      onStep: (step, done, total) =>
        progress.update(describeStep(step), done, total, step.kind === 'verify-tree' ? 'objects' : undefined),
    })
  } finally {
    progress.end()
  }
}

function printUnchanged(io: Io, { chosen, unchanged }: ReadyBundle, options: ApplyOptions): void {
  const json = { changed: false, version: chosen.manifest.version, reason: unchanged }
  printResult(io, { json, text: `nothing to do: ${unchanged}` }, options)
}

function printPlan(io: Io, { plan, checks }: ReadyBundle & { plan: Plan }, options: ApplyOptions): void {
  const width = Math.max(...checks.map(({ name }) => name.length))
  const looked = checks.map(({ name, found }) => `  ok  ${name.padEnd(width)}  ${found}`)
  const text = [describePlan(plan), 'what was looked at:', ...looked].join('\n')
  printResult(io, { json: { dryRun: true, plan, checks }, text }, options)
}

function printApplied(io: Io, { plan, chosen: { manifest } }: ReadyBundle, options: ApplyOptions): void {
  const { version } = manifest
  const { digest } = contentOf(manifest)
  const rebooting = options.reboot === true
  const next = rebooting ? 'restarting' : 'restart to try it'
  const json = { changed: true, version, digest, rebooting }
  printResult(io, { json, text: `${plan?.outcome ?? version} ${next}` }, options)
}
