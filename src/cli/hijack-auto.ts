import { Command, Option } from 'commander'
import { HOLDS, type Hold, nextStep } from '../hijack/auto.ts'
import { installService, removeService } from '../hijack/auto-service.ts'
import { observeTakeover } from '../hijack/observe.ts'
import { failureOf, stageOf } from '../hijack/takeover-state.ts'
import { deadlineOption, runCommit, runRehearse, type StepOptions } from './hijack-steps.ts'
import { type Io, printResult } from './io.ts'
import { examples, jsonOption } from './options.ts'

export interface AutoOptions {
  auto?: boolean
  hold?: Hold
  deadline: number
}

export function autoOptions(command: Command): Command {
  const hold = new Option('--hold <step>', 'with --auto: stop before that step').choices(HOLDS)
  return command
    .option('--auto', 'go on by itself: rehearse, judged by its health checks, commit and reclaim')
    .addOption(hold.implies({ auto: true }))
    .addOption(deadlineOption())
}

/** What the journal notes of it. */
export function autoOf({ auto = false, hold, deadline }: Partial<AutoOptions>) {
  return auto && deadline !== undefined ? { deadline, hold: hold ?? null } : null
}

export function continueCommand(io: Io): Command {
  const command = new Command('continue')
    .description(
      'The next step of a takeover that was staged with --auto: what its service runs at each start.',
    )
    .addOption(jsonOption())
    .action((options: StepOptions) => goOn(io, options))
  return examples(command, ['hijack continue'])
}

/** The next step, which ends with a restart; where there is none the service goes. */
export async function goOn(io: Io, { json = false }: StepOptions): Promise<void> {
  const takeover = await observeTakeover(io.host)
  const auto = takeover?.journal.auto ?? null
  const stage = takeover === undefined ? null : stageOf(takeover)
  const step = stage === null || auto === null ? 'end' : nextStep(stage, auto.hold)
  if (auto !== null && step === 'rehearse') {
    await installService(io.host, [process.execPath, process.argv[1] ?? ''])
    return runRehearse(io, { deadline: auto.deadline, unattended: true, reboot: true, json })
  }
  if (step === 'commit') return runCommit(io, { reboot: true, json })
  if (step === 'end') await removeService(io.host)
  const reason = takeover === undefined ? undefined : failureOf(takeover)
  const text =
    step === 'wait'
      ? 'the machine is about to restart'
      : `nothing goes on by itself: the takeover is ${stage ?? 'not begun'}${reason === undefined ? '' : `, ${reason}`}`
  printResult(io, { json: { stage, step, reason: reason ?? null }, text }, { json })
}
