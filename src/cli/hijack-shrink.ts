import type { Command } from 'commander'
import { PineError } from '../core/error.ts'
import { whileAlone } from '../hijack/alone.ts'
import { describeShrinkPlan } from '../hijack/describe.ts'
import type { Review } from '../hijack/review.ts'
import { armShrink, type OldStart } from '../hijack/shrink.ts'
import { planShrink } from '../hijack/shrink-plan.ts'
import { realCarving } from '../host/extents.ts'
import { restart, type StepOptions } from './hijack-steps.ts'
import { type Io, printResult } from './io.ts'

export interface ShrinkOptions extends StepOptions {
  shrink?: boolean
  yes?: boolean
}

export function shrinkOptions(command: Command): Command {
  return command
    .option('--shrink', 'where free space is too scattered: say how it can be pushed together at a restart')
    .option('--yes', 'with --shrink: do it; a power cut meanwhile can destroy the old system')
    .option('--reboot', 'with --shrink --yes: restart at once where it is needed')
}

/** Throws `USAGE`. */
export function checkShrink({ shrink = false, yes = false, reboot = false }: ShrinkOptions): void {
  if (yes && !shrink) throw new PineError('USAGE', '--yes is for --shrink')
  if (reboot && !yes) throw new PineError('USAGE', '--reboot is for --shrink --yes')
}

/** Where staging found no room. Throws `CARVE_FAILED` where that would not make any either. */
export async function runShrink(io: Io, found: Review, options: ShrinkOptions): Promise<void> {
  const plan = await planShrink(io.host, found)
  if ('severity' in plan)
    throw new PineError('CARVE_FAILED', plan.text, plan.hint === undefined ? {} : { hint: plan.hint })
  const isArmed = options.yes === true
  const { path, start } = startOf(found)
  if (isArmed) await whileAlone(io.host, path, () => armShrink(io.host, realCarving(), plan, start))
  if (options.reboot === true) await restart(io)
  const text = isArmed
    ? `The next restart takes about ${plan.minutes} minutes. After it: pine-update hijack status`
    : describeShrinkPlan(plan).join('\n')
  printResult(io, { json: { stage: 'begun', shrink: plan, isArmed }, text }, options)
}

/** Of the system that runs, and the disk that it is on. */
function startOf({ facts, found }: Review): { path: string; start: OldStart } {
  const fsUuid = facts.boot.stack[0]?.fsUuid
  if (found?.old === undefined || fsUuid === undefined || facts.disk === undefined)
    throw new Error('a takeover without a kernel was let pass')
  return { path: facts.disk.path, start: { old: found.old, fsUuid } }
}
