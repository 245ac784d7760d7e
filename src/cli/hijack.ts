import { Command } from 'commander'
import { ERROR_CODES, PineError } from '../core/error.ts'
import { describeReview } from '../hijack/describe.ts'
import { type Review, review, type TakeoverRequest } from '../hijack/review.ts'
import { stage } from '../hijack/stage.ts'
import { realCarving } from '../host/extents.ts'
import { type AutoOptions, autoOf, autoOptions, continueCommand, goOn } from './hijack-auto.ts'
import { checkShrink, runShrink, type ShrinkOptions, shrinkOptions } from './hijack-shrink.ts'
import {
  abortCommand,
  commitCommand,
  reclaimCommand,
  rehearseCommand,
  takeoverStatusCommand,
} from './hijack-steps.ts'
import { type Io, printResult } from './io.ts'
import { byteSize, examples, type FirstImageOptions, firstImageOptions, jsonOption } from './options.ts'
import { createProgress } from './progress.ts'

export function hijackCommand(io: Io, setExitCode: (code: number) => void): Command {
  const command = new Command('hijack').description(
    'Turn this running Debian server into one with two slots, over ssh. The old system stays until the new one has proved itself.',
  )
  const steps = [
    rehearseCommand(io),
    commitCommand(io),
    reclaimCommand(io),
    abortCommand(io),
    continueCommand(io),
  ]
  for (const part of [planCommand(io, setExitCode), stageCommand(io), ...steps, takeoverStatusCommand(io)])
    command.addCommand(part)
  return command
}

interface StageOptions extends FirstImageOptions, Partial<AutoOptions>, ShrinkOptions {
  slotSize?: number
  stateSize: number
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

function stageCommand(io: Io): Command {
  const staging = stageOptions(
    new Command('stage').description(
      'Write the new system into files of this one, in the place where it will stay, and read it back.',
    ),
  )
  const command = shrinkOptions(autoOptions(staging)).action((options: StageOptions) => runStage(io, options))
  return examples(command, [
    `hijack stage ${EXAMPLE}`,
    `hijack stage ${EXAMPLE} --auto --hold reclaim    # up to what cannot be undone`,
    `hijack stage ${EXAMPLE} --shrink    # where free space is too scattered`,
  ])
}

async function runStage(io: Io, options: StageOptions): Promise<void> {
  checkShrink(options)
  const request = requestOf(options)
  const progress = createProgress(io)
  const found = await review(io.host, request)
  const staging = stage(io.host, realCarving(), { review: found, request }, progress.update)
  const journal = await staging.finally(progress.end).catch((error: unknown) => {
    const isNoRoom = error instanceof PineError && error.code === 'CARVE_FAILED'
    if (options.shrink !== true || !isNoRoom) throw error
  })
  if (journal === undefined) return runShrink(io, found, options)
  if (request.auto !== null) return goOn(io, options)
  const text = `${request.version} is on the disk. Next: pine-update hijack rehearse`
  printResult(io, { json: { stage: 'staged', parts: journal.parts }, text }, options)
}

function requestOf(options: StageOptions): TakeoverRequest {
  const { image, compatible, release: version, epoch, append, slotSize, stateSize } = options
  const auto = autoOf(options)
  return { image, compatible, version, epoch, append, auto, slotBytes: slotSize, stateBytes: stateSize }
}

/** Without keys and password hashes, which are in what was captured. */
function reviewDocument({ facts, image, wanted, problems, found }: Review): unknown {
  const files = found?.identity.captured.files.map(({ path }) => path)
  return { machine: facts, image, partitions: wanted, problems, network: found?.network, kept: files }
}
