import { Command, Option } from 'commander'
import { PineError } from '../core/error.ts'
import type { OnProgress } from '../core/progress.ts'
import { abortTakeover } from '../hijack/abort.ts'
import { whileAlone } from '../hijack/alone.ts'
import { reclaimFiles } from '../hijack/auto-service.ts'
import { readBoxFacts } from '../hijack/box-facts.ts'
import { captureArchive } from '../hijack/capture.ts'
import { commitTakeover } from '../hijack/commit.ts'
import { describeTakeover } from '../hijack/describe.ts'
import { readJournal, type TakeoverJournal } from '../hijack/journal.ts'
import { observeTakeover } from '../hijack/observe.ts'
import { readOldSystem } from '../hijack/old-system.ts'
import { planReclaim, reclaim } from '../hijack/reclaim.ts'
import { armRehearsal, verifyStaged } from '../hijack/rehearse.ts'
import { requireNoStop, reviewBox } from '../hijack/review.ts'
import { observeShrink } from '../hijack/shrink.ts'
import { failureOf, stageOf, type TakeoverFacts, type TakeoverStage } from '../hijack/takeover-state.ts'
import { realCarving } from '../host/extents.ts'
import type { Host } from '../host/host.ts'
import { startOnce } from '../model/boot-state.ts'
import { type Facts, runningSlot } from '../model/facts.ts'
import { observe, withMachine } from '../run/machine.ts'
import { type Io, noticeOn, printResult } from './io.ts'
import { examples, jsonOption, wholeNumber } from './options.ts'
import { createProgress } from './progress.ts'

export interface StepOptions {
  json?: boolean
  reboot?: boolean
}

export interface RehearseOptions extends StepOptions {
  deadline: number
  unattended?: boolean
}

const DAY_SECONDS = 86_400

export function deadlineOption(): Option {
  return new Option('--deadline <seconds>', 'when the old system comes back from a rehearsal')
    .argParser(wholeNumber('--deadline', 60, DAY_SECONDS))
    .default(600)
}

export function rehearseCommand(io: Io): Command {
  const command = new Command('rehearse')
    .description(
      'Have the new system started once. Whatever becomes of it, the start after that is the old one.',
    )
    .addOption(deadlineOption())
    .option('--unattended', 'that its health checks pass is enough; nobody has to log in and confirm')
    .option('--reboot', 'restart at once')
    .addOption(jsonOption())
    .action((options: RehearseOptions) => runRehearse(io, options))
  return examples(command, ['hijack rehearse --reboot', 'hijack rehearse --deadline 1800'])
}

export function runRehearse(io: Io, options: RehearseOptions): Promise<void> {
  const stages = ['staged', 'rehearsed', 'failed', 'silent', 'armed'] as const
  return atStage(io, stages, ({ journal }) => rehearse(io, journal, options))
}

async function rehearse(io: Io, journal: TakeoverJournal, options: RehearseOptions): Promise<void> {
  if (journal.before !== null) throw cutOff()
  const box = await reviewBox(io.host)
  requireNoStop(box)
  if (box.found === undefined) throw new Error('a takeover without a network was let pass')
  const { network, identity } = box.found
  await readSlot(io, journal)
  const { files, accounts } = identity.captured
  const more = journal.auto?.hold === null ? await reclaimFiles(io.host) : []
  const captured = await captureArchive(io.host, network, { files: [...files, ...more], accounts })
  const { deadline, unattended = false } = options
  await armRehearsal(io.host, realCarving(), journal, { deadline, unattended, captured })
  if (options.reboot === true) await restart(io)
  const how = unattended ? 'its health checks decide' : 'log in and run "pine-update confirm" there'
  const text = `The next start is the rehearsal: ${how} within ${deadline} s, else the old system comes back.`
  printResult(io, { json: { stage: 'armed', deadline, unattended }, text }, options)
}

export function commitCommand(io: Io): Command {
  const command = new Command('commit')
    .description('After a good rehearsal: the new system starts first, and the old one where that fails.')
    .option('--reboot', 'restart at once')
    .addOption(jsonOption())
    .action((options: StepOptions) => runCommit(io, options))
  return examples(command, ['hijack commit --reboot'])
}

export function runCommit(io: Io, options: StepOptions): Promise<void> {
  return atStage(io, ['rehearsed', 'returned'], ({ journal }) => commit(io, journal, options))
}

async function commit(io: Io, journal: TakeoverJournal, options: StepOptions): Promise<void> {
  const old = await readOldSystem(io.host, await readBoxFacts(io.host))
  if (old === undefined) throw new PineError('TAKEOVER_REFUSED', 'the kernel that runs has no files in /boot')
  await readSlot(io, journal)
  await commitTakeover(io.host, realCarving(), { journal, old })
  if (options.reboot === true) await restart(io)
  const text = `${journal.image.version} starts next, and the old system where it fails. From there: pine-update hijack reclaim`
  printResult(io, { json: { stage: 'committed' }, text }, options)
}

interface ReclaimOptions extends StepOptions {
  yes?: boolean
}

export function reclaimCommand(io: Io): Command {
  const command = new Command('reclaim')
    .description(
      'From the new system: give up the old one for good, and give its room to the state partition.',
    )
    .option('--yes', 'do it; without this it is only shown')
    .addOption(jsonOption())
    .action((options: ReclaimOptions) => runReclaim(io, options))
  return examples(command, ['hijack reclaim', 'hijack reclaim --yes'])
}

async function runReclaim(io: Io, options: ReclaimOptions): Promise<void> {
  const isSure = options.yes === true
  await withMachine(io.host, { disk: undefined, writable: isSure, notice: noticeOn(io) }, async (machine) => {
    const plan = planReclaim(await observe(machine))
    if (isSure) await reclaim(io.host, machine.disk, plan)
    const verb = isSure ? 'is gone' : 'would be lost; to do it, add --yes'
    const text =
      plan.old === null ? 'no old system is left' : `the old system in partition ${plan.old.number} ${verb}`
    printResult(io, { json: { reclaimed: isSure, ...plan }, text }, options)
  })
}

export function abortCommand(io: Io): Command {
  const command = new Command('abort')
    .description('The disk, the loader and the files of the old system are as they were before "stage".')
    .addOption(jsonOption())
    .action((options: StepOptions) => runAbort(io, options))
  return examples(command, ['hijack abort'])
}

async function runAbort(io: Io, options: StepOptions): Promise<void> {
  const journal = await readJournal(io.host)
  if (journal === undefined) return startOldSystem(io, options)
  await whileAlone(io.host, journal.disk.path, async () => {
    // What commit has noted until now.
    const latest = await readJournal(io.host)
    if (latest !== undefined) await abortTakeover(io.host, realCarving(), latest)
  })
  printResult(io, { json: { stage: null }, text: 'The takeover is undone.' }, options)
}

/** In the new system nobody knows what commit wrote over: the old one does. */
async function startOldSystem(io: Io, options: StepOptions): Promise<void> {
  await withMachine(io.host, { disk: undefined, writable: true, notice: noticeOn(io) }, async (machine) => {
    if ((await observe(machine)).takeover?.stage !== 'committed') throw noTakeover()
    await machine.loader.change(machine.bootstate, (state) => startOnce(state, 'r'))
  }).catch((error: unknown) => {
    throw error instanceof PineError && error.code === 'NOT_A_PINE_DISK' ? noTakeover() : error
  })
  const text = 'The next start is the old system. Restart, and run "pine-update hijack abort" there.'
  printResult(io, { json: { stage: 'committed', nextBoot: 'r' }, text }, options)
}

export function takeoverStatusCommand(io: Io): Command {
  const command = new Command('status')
    .description('How far the takeover has come, from what is on the disk.')
    .addOption(jsonOption())
    .action((options: StepOptions) => runStatus(io, options))
  return examples(command, ['hijack status', 'hijack status --json'])
}

async function runStatus(io: Io, options: StepOptions): Promise<void> {
  const takeover = await observeTakeover(io.host)
  if (takeover !== undefined) {
    const { image } = takeover.journal
    const shrink = await observeShrink(io.host)
    const [stage, reason] = [stageOf(takeover), failureOf(takeover) ?? null]
    const json = { stage, reason, image, shrink: shrink ?? null }
    return printResult(io, { json, text: describeTakeover(takeover, shrink).join('\n') }, options)
  }
  await withMachine(io.host, { disk: undefined, writable: false }, async (machine) => {
    const stage = stageInside(await observe(machine))
    printResult(io, { json: { stage }, text: `takeover    ${stage}` }, options)
  }).catch((error: unknown) => {
    if (!(error instanceof PineError) || error.code !== 'NOT_A_PINE_DISK') throw error
    printResult(io, { json: { stage: null }, text: 'no takeover has begun' }, options)
  })
}

/** Seen from the new system. */
function stageInside(facts: Facts): string {
  if (facts.takeover === null) return 'reclaimed'
  if (facts.takeover.stage === 'rehearsal') return 'rehearsal'
  return facts.boot.slots[runningSlot(facts)].confirmed ? 'confirmed' : 'committed'
}

async function readSlot(io: Io, journal: TakeoverJournal): Promise<void> {
  const progress = createProgress(io)
  const onProgress: OnProgress = (done, total) => progress.update('read slot a', done, total)
  await verifyStaged(io.host, journal, onProgress).finally(progress.end)
}

/** Nobody else changes the takeover meanwhile. Throws `BUSY`, and `TAKEOVER_ORDER` unless it has come to one of these stages. */
async function atStage(
  { host }: Io,
  stages: readonly TakeoverStage[],
  step: (takeover: TakeoverFacts) => Promise<void>,
): Promise<void> {
  const journal = await readJournal(host)
  if (journal === undefined) throw noTakeover()
  await whileAlone(host, journal.disk.path, async () => step(await observeAt(host, stages)))
}

async function observeAt(host: Host, stages: readonly TakeoverStage[]): Promise<TakeoverFacts> {
  const takeover = await observeTakeover(host)
  if (takeover === undefined) throw noTakeover()
  const found = stageOf(takeover)
  if (stages.includes(found)) return takeover
  throw new PineError('TAKEOVER_ORDER', `the takeover is ${found}, expected ${stages.join(' or ')}`, {
    hint: 'look at "pine-update hijack status"',
  })
}

function noTakeover(): PineError {
  return new PineError('TAKEOVER_ORDER', 'no takeover has begun here', {
    hint: 'begin with "pine-update hijack plan"',
  })
}

function cutOff(): PineError {
  return new PineError('TAKEOVER_ORDER', 'a commit was cut off', {
    hint: 'run "pine-update hijack commit" again, or "hijack abort"',
  })
}

export async function restart({ host }: Io): Promise<void> {
  await host.exec('systemctl', ['reboot', '--no-block'])
}
