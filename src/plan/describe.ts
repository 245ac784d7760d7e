import { assertNever } from '../core/assert-never.ts'
import { formatBytes } from '../core/format.ts'
import type { Plan, Step } from './step.ts'

/** The plan as lines for a person, without a line feed at the end. */
export function describePlan(plan: Plan): string {
  const steps = plan.steps.map((step, index) => `  ${String(index + 1).padStart(2)}. ${describeStep(step)}`)
  return [plan.outcome, ...steps].join('\n')
}

export function describeStep(step: Step): string {
  switch (step.kind) {
    case 'disarm-slot':
      return `make slot ${step.slot} unbootable`
    case 'forget-image':
      return `note that the content of slot ${step.slot} is about to change`
    case 'write-image':
      return `write image ${short(step.image)} (${formatBytes(step.bytes)}) to slot ${step.slot}; right chunks stay`
    case 'write-tree':
      return `make the tree of commit ${short(step.commit)} (${formatBytes(step.bytes)}) in slot ${step.slot}, from the start`
    case 'flush-slot':
      return `flush slot ${step.slot} to the disk`
    case 'verify-image':
      return `read slot ${step.slot} back and compare it with ${short(step.image)}`
    case 'verify-tree':
      return `read slot ${step.slot} back and compare every file with commit ${short(step.commit)}`
    case 'record-image':
      return `note that slot ${step.slot} holds ${step.record.version}`
    case 'record-trial':
      return step.trial === null
        ? 'note that no trial is under way'
        : `note the trial of ${step.trial.version}`
    case 'arm-slot':
      return `boot slot ${step.slot} next, with ${step.tries} tries (the one write that changes what boots)`
    case 'confirm-slot':
      return `confirm slot ${step.slot} and refill its tries`
    case 'reject-slot':
      return `give slot ${step.slot} up; the other slot boots next`
    case 'record-rejection':
      return `remember that ${step.rejection.version} was rejected: ${step.rejection.reason}`
    case 'set-floors':
      return `refuse releases below version ${step.version} and epoch ${step.epoch} from now on`
    case 'record-trust':
      return step.keys === null
        ? 'note the time at which the bundle was signed'
        : `trust the keys of list ${step.keys.version} from now on`
    case 'prefer-loader':
      return 'have the firmware start this system first from now on'
    case 'stop-watchdog':
      return 'stop the watchdog of this boot'
    case 'reboot':
      return 'reboot'
    default:
      return assertNever(step)
  }
}

function short(digest: string): string {
  return digest.slice(0, 12)
}
