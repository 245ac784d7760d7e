import { Command } from 'commander'
import { ERROR_CODES, PineError } from '../core/error.ts'
import { describeReview, describeShrinkPlan } from '../hijack/describe.ts'
import { type Review, review, type TakeoverRequest } from '../hijack/review.ts'
import { armShrink, type OldStart } from '../hijack/shrink.ts'
import { planShrink } from '../hijack/shrink-plan.ts'
import { stage } from '../hijack/stage.ts'
import { realCarving } from '../host/extents.ts'
import {
  abortCommand,
  commitCommand,
  reclaimCommand,
  rehearseCommand,
  restart,
  takeoverStatusCommand,
} from './hijack-steps.ts'
import { type Io, printResult } from './io.ts'
import { byteSize, examples, type FirstImageOptions, firstImageOptions, jsonOption } from './options.ts'
import { createProgress } from './progress.ts'

export function hijackCommand(io: Io, setExitCode: (code: number) => void): Command {
  const command = new Command('hijack').description(
    'Turn this running Debian server into one with two slots, over ssh. The old system stays until the new one has proved itself.',
  )
  const steps = [rehearseCommand(io), commitCommand(io), reclaimCommand(io), abortCommand(io)]
  for (const part of [planCommand(io, setExitCode), stageCommand(io), ...steps, takeoverStatusCommand(io)])
    command.addCommand(part)
  return command
}

interface StageOptions extends FirstImageOptions {
  slotSize?: number
  stateSize: number
  json?: boolean
}

const STATE_BYTES = 256 * 1024 ** 2

function stageOptions(command: Command): Command {
  return firstImageOptions(command)
    .option('--slot-size <size>', 'of each slot (default: twice the image)', byteSize)
    .option('--state-size <size>', 'of the state partition until the old system goes', byteSize, STATE_BYTES)
    .addOption(jsonOption())
}

const EXAMPLE = '--image web-1.0.squashfs --compatible web --release 1.0'

function planCommand(io: Io, setExitCode: (code: number) => void): Command {
  const command = stageOptions(
    new Command('plan').description('Say what a takeover would do, and what is against it. Changes nothing.'),
  ).action(async (options: StageOptions) => {
    const found = await review(io.host, requestOf(options))
    printResult(io, { json: reviewDocument(found), text: describeReview(found).join('\n') }, options)
    const isRefused = found.problems.some(({ severity }) => severity === 'stop')
    if (isRefused) setExitCode(ERROR_CODES.TAKEOVER_REFUSED)
  })
  return examples(command, [`hijack plan ${EXAMPLE}`, `hijack plan ${EXAMPLE} --json`])
}

interface ShrinkOptions extends StageOptions {
  shrink?: boolean
  yes?: boolean
  reboot?: boolean
}

function stageCommand(io: Io): Command {
  const command = stageOptions(
    new Command('stage').description(
      'Write the new system into files of this one, in the place where it will stay, and read it back.',
    ),
  )
    .option('--shrink', 'where what is free is too scattered: say how it can be pushed together at a restart')
    .option('--yes', 'have that done at the next restart; a power cut meanwhile can destroy the old system')
    .option('--reboot', 'restart at once, where --yes has something to do')
    .action((options: ShrinkOptions) => runStage(io, options))
  return examples(command, [`hijack stage ${EXAMPLE}`, `hijack stage ${EXAMPLE} --shrink`])
}

async function runStage(io: Io, options: ShrinkOptions): Promise<void> {
  if (options.shrink !== true && (options.yes === true || options.reboot === true))
    throw new PineError('USAGE', '--yes and --reboot are for --shrink')
  const request = requestOf(options)
  const progress = createProgress(io)
  const found = await review(io.host, request)
  try {
    const { parts } = await stage(
      io.host,
      realCarving(),
      { review: found, request },
      progress.update,
    ).finally(progress.end)
    const text = `${request.version} is on the disk. Next: pine-update hijack rehearse`
    printResult(io, { json: { stage: 'staged', parts }, text }, options)
  } catch (error) {
    if (options.shrink !== true || !(error instanceof PineError) || error.code !== 'CARVE_FAILED') throw error
    await runShrink(io, found, options)
  }
}

/** No room was found without. */
async function runShrink(io: Io, found: Review, options: ShrinkOptions): Promise<void> {
  const plan = await planShrink(io.host, found)
  if ('severity' in plan)
    throw new PineError('CARVE_FAILED', plan.text, plan.hint === undefined ? {} : { hint: plan.hint })
  const isSure = options.yes === true
  if (isSure) await armShrink(io.host, realCarving(), plan, startOf(found))
  if (isSure && options.reboot === true) await restart(io)
  const text = isSure
    ? `The next restart takes about ${plan.minutes} minutes. After it: pine-update hijack status`
    : describeShrinkPlan(plan).join('\n')
  printResult(io, { json: { stage: 'begun', shrink: plan, isArmed: isSure }, text }, options)
}

/** Of the system that runs. */
function startOf({ facts, found }: Review): OldStart {
  const fsUuid = facts.boot.stack[0]?.fsUuid
  if (found?.old === undefined || fsUuid === undefined)
    throw new Error('a takeover without a kernel was let pass')
  return { old: found.old, fsUuid }
}

function requestOf(options: StageOptions): TakeoverRequest {
  const { image, compatible, release: version, epoch, append, slotSize, stateSize } = options
  return { image, compatible, version, epoch, append, slotBytes: slotSize, stateBytes: stateSize }
}

/** Without keys and password hashes, which are in what was captured. */
function reviewDocument({ facts, image, wanted, problems, found }: Review): unknown {
  const files = found?.identity.captured.files.map(({ path }) => path)
  return { machine: facts, image, partitions: wanted, problems, network: found?.network, kept: files }
}
