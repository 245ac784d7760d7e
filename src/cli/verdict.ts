import { Command } from 'commander'
import { MAX_TRIES } from '../model/boot-state.ts'
import type { Facts } from '../model/facts.ts'
import type { Settings } from '../model/settings.ts'
import { describePlan } from '../plan/describe.ts'
import type { Plan } from '../plan/step.ts'
import { planConfirm, planReject, planRollback } from '../plan/verdict.ts'
import { executePlan } from '../run/execute.ts'
import { observe, withMachine } from '../run/machine.ts'
import { readSettings } from '../run/settings.ts'
import { type Io, noticeOn, printResult } from './io.ts'
import { dryRunOption, examples, machineOptions, wholeNumber } from './options.ts'

interface VerdictOptions {
  disk?: string
  config?: string
  dryRun?: boolean
  json?: boolean
}

export function confirmCommand(io: Io): Command {
  const command = machineOptions(new Command('confirm'))
    .description('Make the running release permanent. The health service does it after each good boot.')
    .addOption(dryRunOption())
    // Whoever logs in at once comes while the health service is at work.
    .action((options: VerdictOptions) =>
      runPlan(io, { ...options, patient: options.disk === undefined }, planConfirm),
    )
  return examples(command, ['confirm', 'confirm --dry-run'])
}

interface RejectOptions extends VerdictOptions {
  reason: string
  reboot?: boolean
}

export function rejectCommand(io: Io): Command {
  const command = machineOptions(new Command('reject'))
    .description('Give up the release on trial; the other slot boots next, and the release is remembered.')
    .option('--reason <text>', 'shown by "status"', 'rejected by the operator')
    .option('--reboot', 'restart at once when the rejected release is the one that runs')
    .addOption(dryRunOption())
    .action((options: RejectOptions) => {
      const { reason, reboot = false } = options
      return runPlan(io, options, (facts) => planReject(facts, { reason, reboot, now: io.host.now() }))
    })
  return examples(command, ['reject --reason "the shop does not load" --reboot'])
}

interface RollbackOptions extends VerdictOptions {
  tries?: number
  reboot?: boolean
}

export function rollbackCommand(io: Io): Command {
  const command = machineOptions(new Command('rollback'))
    .description('Go back to the release in the other slot, with the /etc it had.')
    .option('--tries <n>', 'boots it has to prove itself again', wholeNumber('--tries', 1, MAX_TRIES))
    .option('--reboot', 'restart at once')
    .addOption(dryRunOption())
    .action((options: RollbackOptions) =>
      runPlan(io, options, (facts, settings) => {
        const { tries = settings.tries, reboot = false } = options
        return planRollback(facts, { tries, reboot, now: io.host.now() })
      }),
    )
  return examples(command, ['rollback --reboot', 'rollback --dry-run'])
}

async function runPlan(
  io: Io,
  options: VerdictOptions & { patient?: boolean },
  makePlan: (facts: Facts, settings: Settings) => Plan,
): Promise<void> {
  const settings = await readSettings(io.host, options.config)
  const { disk, patient = false } = options
  const how = { disk, writable: options.dryRun !== true, patient, notice: noticeOn(io) }
  await withMachine(io.host, how, async (machine) => {
    const plan = makePlan(await observe(machine), settings)
    if (options.dryRun === true) {
      return printResult(io, { json: { dryRun: true, plan }, text: describePlan(plan) }, options)
    }
    await executePlan(plan, { machine, onStep: () => undefined })
    printResult(io, { json: { changed: true, plan }, text: plan.outcome }, options)
  })
}
