import { PineError } from '../core/error.ts'
import type { Plan, Step } from '../plan/step.ts'
import { startJournal } from './journal.ts'
import { runStep, type StepContext } from './runners.ts'

/**
 * Runs the steps in order and writes what happened to the event log. The log explains; the machine decides: after
 * a crash the facts are gathered and the plan is made anew, nothing is read back from here.
 */
export async function executePlan(plan: Plan, context: StepContext): Promise<void> {
  const journal = await startJournal(context.machine, plan)
  for (const step of plan.steps) {
    try {
      context.signal?.throwIfAborted()
      context.onStep(step)
      await journal.step(step)
      await runStep(step, context)
    } catch (error) {
      await journal.failed(step, error)
      throw explained(error, step, plan)
    }
  }
  await journal.done()
}

/** By then everything else is done, and what boots has changed. */
function explained(error: unknown, step: Step, { outcome }: Plan): unknown {
  if (step.kind !== 'reboot' || !(error instanceof PineError)) return error
  return new PineError(error.code, `${outcome} Only the restart failed: ${error.message}`, {
    hint: 'restart the machine yourself',
    cause: error,
  })
}
