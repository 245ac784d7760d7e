import { appendLog } from '../boot/grub-state.ts'
import { PineError } from '../core/error.ts'
import { describeStep } from '../plan/describe.ts'
import type { Plan } from '../plan/step.ts'
import { runStep, type StepContext } from './runners.ts'

/**
 * Runs the steps in order and writes what happened to the event log. The log explains; the machine decides: after
 * a crash the facts are gathered and the plan is made anew, nothing is read back from here.
 */
export async function executePlan(plan: Plan, context: StepContext): Promise<void> {
  await note(context, { event: 'start', intent: plan.intent, outcome: plan.outcome })
  for (const step of plan.steps) {
    context.signal?.throwIfAborted()
    context.onStep(step)
    await note(context, { event: 'step', step: describeStep(step) })
    try {
      await runStep(step, context)
    } catch (error) {
      await noteFailure(context, describeStep(step), error)
      throw error
    }
  }
  await note(context, { event: 'done', intent: plan.intent })
}

type LogEntry = Record<string, string>

async function note({ machine }: StepContext, entry: LogEntry): Promise<void> {
  await appendLog(machine.bootstate, { at: machine.host.now().toISOString(), ...entry })
}

/** The failure itself matters more than a log that cannot be written. */
async function noteFailure(context: StepContext, step: string, error: unknown): Promise<void> {
  const interrupted = error instanceof Error && error.name === 'AbortError'
  const code = error instanceof PineError ? error.code : interrupted ? 'INTERRUPTED' : 'BUG'
  const message = error instanceof Error ? error.message : String(error)
  await note(context, { event: 'failed', step, code, message }).catch(() => undefined)
}
