import { PineError } from '../core/error.ts'
import { firstSlot, otherSlot, type SlotName } from '../model/boot-state.ts'
import { type Facts, pendingTrial } from '../model/facts.ts'
import { type Plan, type Step, verifyStep } from './step.ts'

/** What the health checks found after a boot. */
export interface Verdict {
  healthy: boolean
  /** One line; for an unhealthy verdict it names the failed checks. */
  reason: string
}

/** The booted release is good: permanent, tries refilled, its version and epoch the new floors. */
export function planConfirm(facts: Facts): Plan {
  const slot = bootedSlot(facts)
  if (!facts.boot.slots[slot].confirmed && facts.boot.slots[slot].left === 0 && !isTrialOf(facts, slot)) {
    throw new PineError('NOTHING_TO_CONFIRM', `slot ${slot} was rejected, it cannot be confirmed`, {
      hint: 'apply the release again with --force-rejected',
    })
  }
  const version = facts.records.slots[slot]?.version ?? 'the running release'
  const steps: Step[] = []
  // First: without it the next start is that of the old system, and nothing would be permanent. A crash between the two
  // leaves a slot on trial, with what it has left of its tries.
  if (isToBePreferred(facts)) steps.push({ kind: 'prefer-loader' })
  steps.push({ kind: 'confirm-slot', slot })
  // A crash before the last of these: the trial is still noted, and the next boot confirms once more.
  steps.push(...newFloors(facts, slot))
  if (isTrialOf(facts, slot) || isOver(facts)) steps.push({ kind: 'record-trial', trial: null })
  if (facts.takeover?.stage === 'rehearsal') {
    steps.push({ kind: 'reboot' })
    const outcome = `${version} has proved itself. The old system starts now: run "pine-update hijack commit" there.`
    return { intent: 'confirm', outcome, steps }
  }
  if (facts.live) steps.push({ kind: 'stop-watchdog' })
  return { intent: 'confirm', outcome: `${version} in slot ${slot} is permanent.`, steps }
}

/** It has started, and with it our loader: what nobody knew when it was given a single start. */
function isToBePreferred({ live, takeover }: Facts): boolean {
  return live && takeover?.stage === 'committed' && !takeover.isFirst
}

/** An update that was let in sets the floors, also where the operator allowed a downgrade; a rollback does not. */
function newFloors({ records }: Facts, slot: SlotName): Step[] {
  const { trial, epochFloor, versionFloor } = records
  const image = records.slots[slot]
  if (image === null || trial?.slot !== slot || !trial.update) return []
  if (image.epoch <= epochFloor && image.version === versionFloor) return []
  return [{ kind: 'set-floors', epoch: image.epoch, version: image.version }]
}

/** Gives up the trial, booted or only armed; the other slot boots next. */
export function planReject(facts: Facts, options: { reason: string; now: Date; reboot: boolean }): Plan {
  const slot = pendingTrial(facts) ?? trialSpent(facts)
  if (slot === undefined) {
    throw new PineError('NOTHING_TO_CONFIRM', 'no release is on trial, there is nothing to reject', {
      hint: 'to go back to the other slot, run "pine-update rollback"',
    })
  }
  const back = otherSlot(slot)
  const isOldNext = facts.takeover !== null && !facts.boot.slots[back].confirmed
  if (!isOldNext) requireConfirmed(facts, back)
  const { slots, trial } = facts.records
  const image = slots[slot]
  const version = image?.version ?? 'an unknown release'
  const steps: Step[] = []
  if (image !== null && trial?.update !== false) {
    const rejection = {
      digest: image.digest,
      version,
      reason: options.reason,
      at: options.now.toISOString(),
    }
    steps.push({ kind: 'record-rejection', rejection })
  }
  // A crash between the two repeats the verdict at the next boot; the release is remembered either way.
  steps.push({ kind: 'reject-slot', slot }, { kind: 'record-trial', trial: null })
  if (options.reboot && facts.booted === slot) steps.push({ kind: 'reboot' })
  return {
    intent: 'reject',
    outcome: `${version} is given up; ${isOldNext ? 'the old system' : `slot ${back}`} boots next.`,
    steps,
  }
}

/** Back to the other slot as it last ran, on trial again so that it, too, must prove itself. */
export function planRollback(facts: Facts, options: { tries: number; reboot: boolean; now: Date }): Plan {
  const from = bootedSlot(facts)
  if (!facts.boot.slots[from].confirmed) {
    return planReject(facts, { ...options, reason: 'rolled back by the operator' })
  }
  const slot = otherSlot(from)
  const image = facts.records.slots[slot]
  if (!facts.boot.slots[slot].confirmed || image === null) {
    throw new PineError(
      'NOTHING_TO_ROLL_BACK_TO',
      `slot ${slot} holds no release that was ever confirmed here`,
      {
        hint: 'apply an older release with --allow-downgrade instead',
      },
    )
  }
  const { digest, version } = image
  const trial = { slot, digest, version, armedAt: options.now.toISOString(), update: false }
  const steps: Step[] = [
    verifyStep(slot, image),
    { kind: 'record-trial', trial },
    { kind: 'arm-slot', slot, tries: options.tries, keepEtc: true },
  ]
  if (options.reboot) steps.push({ kind: 'reboot' })
  return { intent: 'rollback', outcome: `slot ${slot} with ${version} boots next.`, steps }
}

/** What follows from the health checks of this boot, without anyone asking. */
export function planVerdict(facts: Facts, verdict: Verdict, now: Date): Plan {
  const slot = bootedSlot(facts)
  const confirmed = facts.boot.slots[slot].confirmed
  const failure = failedTrial(facts, slot)
  if (failure !== undefined) {
    const plan = planReject(facts, { reason: failure, now, reboot: false })
    return { ...plan, steps: [...plan.steps, ...afterFallback(facts, verdict)] }
  }
  if (verdict.healthy) return isToBeReached(facts) ? planWaiting() : planConfirm(facts)
  if (!confirmed) return planReject(facts, { reason: verdict.reason, now, reboot: true })
  // A confirmed release has nothing better to fall back on, and a box that is up can be reached and mended.
  return {
    intent: 'verdict',
    outcome: `slot ${slot} stays although it is not healthy: it was confirmed before.`,
    steps: facts.live ? [{ kind: 'stop-watchdog' }] : [],
  }
}

/** Checks from inside do not show that anybody can log in. */
function isToBeReached({ takeover }: Facts): boolean {
  return takeover?.stage === 'rehearsal' && !takeover.unattended
}

/** The watchdog goes on: where nobody comes, the old system starts at its deadline. */
function planWaiting(): Plan {
  const outcome = 'healthy; until its deadline the rehearsal waits for "pine-update confirm" over ssh.'
  return { intent: 'verdict', outcome, steps: [] }
}

/** Back on the old release: it proves itself like any other boot. */
function afterFallback(facts: Facts, verdict: Verdict): readonly Step[] {
  if (verdict.healthy) return planConfirm(facts).steps
  return facts.live ? [{ kind: 'stop-watchdog' }] : []
}

/** Why the trial of the other slot is over, seen from the release that runs instead; undefined where it is not. */
function failedTrial(facts: Facts, running: SlotName): string | undefined {
  const spent = trialSpent(facts)
  if (spent !== undefined && spent !== running) return 'it did not come up: all its tries were spent'
  const pending = pendingTrial(facts)
  if (pending === undefined || pending === running) return undefined
  // Nothing has written since the loader read this very state, so it saw the armed slot and passed it over.
  const passedOver = facts.sequenceAtBoot === facts.boot.sequence
  return passedOver ? 'the loader could not load its kernel or initrd' : undefined
}

/** A slot that was armed for an update and ran out of tries without a verdict. */
function trialSpent(facts: Facts): SlotName | undefined {
  const { trial } = facts.records
  if (trial === null) return undefined
  const { confirmed, left } = facts.boot.slots[trial.slot]
  // Arming puts the slot first, and a loader leaves it there. Where it is not, the power was cut between the note and the
  // arming, or the slot was taken for another release since: it did not fail.
  const isArmed = firstSlot(facts.boot) === trial.slot
  return isArmed && !confirmed && left === 0 ? trial.slot : undefined
}

/** A power cut left a note behind: the trial neither waits for its start or its verdict, nor did it fail. */
function isOver(facts: Facts): boolean {
  const { trial } = facts.records
  return trial !== null && pendingTrial(facts) !== trial.slot && trialSpent(facts) === undefined
}

function isTrialOf(facts: Facts, slot: SlotName): boolean {
  return facts.records.trial?.slot === slot
}

function bootedSlot(facts: Facts): SlotName {
  if (facts.booted !== null) return facts.booted
  throw new PineError('NOTHING_TO_CONFIRM', `${facts.disk} has not booted yet`, {
    hint: 'boot it once, or look at "pine-update status"',
  })
}

function requireConfirmed(facts: Facts, slot: SlotName): void {
  if (facts.boot.slots[slot].confirmed) return
  throw new PineError(
    'NOTHING_TO_ROLL_BACK_TO',
    `slot ${slot} was never confirmed, there is nothing to go back to`,
    {
      hint: 'confirm the running release, or apply another one',
    },
  )
}
