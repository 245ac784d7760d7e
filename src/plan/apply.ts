import { requirePassed } from '../core/check.ts'
import { type Facts, inactiveSlot } from '../model/facts.ts'
import type { ImageRecord, StoredKeys } from '../model/records.ts'
import { checkStart, type Release, type StateSpace } from './preflight.ts'
import { type Plan, type Step, verifyStep } from './step.ts'

export interface ApplyOptions {
  tries: number
  reboot: boolean
  now: Date
  /** Keys to remember, where newer ones were learnt, and the newest signed time. */
  trust: { keys: StoredKeys | null; time: number }
  state: StateSpace | undefined
}

/**
 * The release into the inactive slot, then the flip. Everything before `arm-slot` leaves the booted release the
 * one that boots; a power cut there costs only the work, and the next apply takes up what is already right.
 * Throws what `checkStart` finds.
 */
export function planApply(facts: Facts, release: Release, options: ApplyOptions): Plan {
  requirePassed(checkStart(facts, release, options.state))
  const slot = inactiveSlot(facts)
  const { digest, bytes } = release
  const at = options.now.toISOString()
  const record: ImageRecord = { ...release, writtenAt: at }
  const trial = { slot, digest, version: release.version, armedAt: at, update: true }
  const steps: Step[] = [
    ...trustSteps(facts, options.trust),
    { kind: 'disarm-slot', slot },
    { kind: 'forget-image', slot },
    release.fs === 'tree'
      ? { kind: 'write-tree', slot, commit: digest, bytes }
      : { kind: 'write-image', slot, image: digest, bytes },
    { kind: 'flush-slot', slot },
    verifyStep(slot, release),
    { kind: 'record-image', slot, record },
    { kind: 'record-trial', trial },
    { kind: 'arm-slot', slot, tries: options.tries, keepEtc: false },
  ]
  if (options.reboot) steps.push({ kind: 'reboot' })
  return { intent: 'apply', outcome: `${release.version} goes to slot ${slot} and boots next.`, steps }
}

/** In one write, before the first of the slot: it holds whatever becomes of the update. */
function trustSteps({ records }: Facts, { keys, time }: ApplyOptions['trust']): Step[] {
  if (keys === null && time <= records.timeFloor) return []
  return [{ kind: 'record-trust', keys, time }]
}
