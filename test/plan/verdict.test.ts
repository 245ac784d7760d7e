import { describe, expect, test } from 'vitest'
import { arm, confirm, disarm, initialBootState } from '../../src/model/boot-state.ts'
import type { Facts } from '../../src/model/facts.ts'
import { planApply } from '../../src/plan/apply.ts'
import { describePlan } from '../../src/plan/describe.ts'
import { planConfirm, planReject, planRollback, planVerdict } from '../../src/plan/verdict.ts'
import { factsOf, imageOf } from '../support/facts.ts'

const now = new Date('2026-01-01T00:00:00Z')
const armedB = arm(initialBootState('a'), 'b')
const onB = {
  a: '1.0',
  b: '2.0',
  boot: { ...armedB, last: 'b' as const },
  booted: 'b' as const,
  trial: 'b' as const,
}
const good = { healthy: true, reason: '' }
const bad = { healthy: false, reason: 'web: no answer' }

const kinds = (plan: { steps: readonly { kind: string }[] }): string[] => plan.steps.map(({ kind }) => kind)
const live = (facts: Facts, sequenceAtBoot = facts.boot.sequence): Facts => ({
  ...facts,
  live: true,
  sequenceAtBoot,
})

describe('after a boot', () => {
  test('a healthy trial becomes permanent, and the watchdog stops', () => {
    expect(kinds(planVerdict(live(factsOf(onB)), good, now))).toEqual([
      'confirm-slot',
      'set-floors',
      'record-trial',
      'stop-watchdog',
    ])
  })

  test('an unhealthy trial is rejected with its reason and the machine restarts', () => {
    const plan = planVerdict(live(factsOf(onB)), bad, now)
    expect(kinds(plan)).toEqual(['record-rejection', 'reject-slot', 'record-trial', 'reboot'])
    expect(describePlan(plan)).toContain('web: no answer')
  })

  test('an unhealthy release that was confirmed before stays up and can be reached', () => {
    const facts = live(factsOf({ a: '1.0' }))
    expect(kinds(planVerdict(facts, bad, now))).toEqual(['stop-watchdog'])
  })

  test('the old release finds the tries of the new one spent: rejected, and the old one refilled', () => {
    const boot = { ...armedB, slots: { ...armedB.slots, b: { ...armedB.slots.b, left: 0 } } }
    const plan = planVerdict(live(factsOf({ a: '1.0', b: '2.0', boot, trial: 'b' })), good, now)
    expect(kinds(plan)).toEqual([
      'record-rejection',
      'reject-slot',
      'record-trial',
      'confirm-slot',
      'stop-watchdog',
    ])
    expect(describePlan(plan)).toContain('tries were spent')
  })

  test('a power cut between the note of a trial and the arming: the new release never ran, it is not rejected', () => {
    const noted = live(factsOf({ a: '1.0', b: '2.0', boot: disarm(initialBootState('a'), 'b'), trial: 'b' }))
    expect(kinds(planVerdict(noted, good, now))).toEqual(['confirm-slot', 'record-trial', 'stop-watchdog'])
    expect(kinds(planVerdict(noted, bad, now))).toEqual(['stop-watchdog'])
  })

  test('the old release runs although the new one has tries left: its kernel did not load', () => {
    const boot = { ...armedB, slots: { ...armedB.slots, b: { ...armedB.slots.b, left: 2 } } }
    const plan = planVerdict(live(factsOf({ a: '1.0', b: '2.0', boot, trial: 'b' })), good, now)
    expect(describePlan(plan)).toContain('could not load its kernel')
  })

  test('a release armed since this boot is left alone', () => {
    const facts = live(factsOf({ a: '1.0', b: '2.0', boot: armedB, trial: 'b' }), armedB.sequence - 1)
    expect(kinds(planVerdict(facts, good, now))).toEqual(['confirm-slot', 'stop-watchdog'])
  })
})

describe('confirm', () => {
  test('of an update sets the floors, also below the old ones where a downgrade was allowed', () => {
    const facts = factsOf(onB)
    facts.records.slots.b = { ...imageOf('2.0'), epoch: 7 }
    facts.records.versionFloor = '2.5'
    const kinds = planConfirm(facts).steps.map(({ kind }) => kind)
    expect(planConfirm(facts).steps).toContainEqual({ kind: 'set-floors', epoch: 7, version: '2.0' })
    // While the trial is noted, a crash between the two is made good by the next confirmation.
    expect(kinds.indexOf('set-floors')).toBeLessThan(kinds.indexOf('record-trial'))
  })

  test('of a rollback leaves the floors alone', () => {
    const facts = factsOf(onB)
    facts.records.slots.b = { ...imageOf('2.0'), epoch: 7 }
    if (facts.records.trial) facts.records.trial.update = false
    expect(planConfirm(facts).steps.map(({ kind }) => kind)).not.toContain('set-floors')
  })

  test('is refused before the first boot', () => {
    expect(() => planConfirm({ ...factsOf({ a: '1.0' }), booted: null })).toThrow(
      expect.objectContaining({ code: 'NOTHING_TO_CONFIRM' }),
    )
  })

  test('is refused for a release that was rejected while it runs', () => {
    const boot = { ...initialBootState('a'), last: 'b' as const }
    expect(() => planConfirm(factsOf({ a: '1.0', b: '2.0', boot, booted: 'b' }))).toThrow(
      expect.objectContaining({ code: 'NOTHING_TO_CONFIRM' }),
    )
  })
})

describe('refused', () => {
  const trust = { keys: null, time: 0 }
  const options = { tries: 3, reboot: false, now, trust, state: { writable: true, freeBytes: 1e9 } }

  test('an update that the loader would never see', () => {
    const blind = { ...factsOf({ a: '1.0' }), loaderSeesState: false }
    expect(() => planApply(blind, imageOf('2.0'), options)).toThrow(
      expect.objectContaining({ code: 'BOOT_STATE_UNSEEN' }),
    )
  })

  test('an update that the loader could not read', () => {
    const erofs = { ...imageOf('2.0'), fs: 'erofs' }
    expect(() => planApply(factsOf({ a: '1.0' }), erofs, options)).toThrow(
      expect.objectContaining({ code: 'IMAGE_UNBOOTABLE' }),
    )
  })

  test('to reject where nothing is on trial', () => {
    const options = { reason: 'x', now, reboot: false }
    expect(() => planReject(factsOf({ a: '1.0' }), options)).toThrow(
      expect.objectContaining({ code: 'NOTHING_TO_CONFIRM' }),
    )
  })

  test('to reject when the other slot was never good', () => {
    const boot = { ...armedB, slots: { ...armedB.slots, a: { confirmed: false, left: 0, generation: 1 } } }
    expect(() => planReject(factsOf({ ...onB, boot }), { reason: 'x', now, reboot: false })).toThrow(
      expect.objectContaining({ code: 'NOTHING_TO_ROLL_BACK_TO' }),
    )
  })

  test('to roll back to a slot that holds nothing', () => {
    expect(() => planRollback(factsOf({ a: '1.0' }), options)).toThrow(
      expect.objectContaining({ code: 'NOTHING_TO_ROLL_BACK_TO' }),
    )
  })
})

test('a rollback that is given up is not remembered as a bad release', () => {
  const boot = arm(confirm(armedB, 'b'), 'a', 3, true)
  const facts = factsOf({ a: '1.0', b: '2.0', boot, booted: 'b' })
  facts.records.trial = { slot: 'a', digest: '1.0', version: '1.0', armedAt: '2026', update: false }
  expect(kinds(planReject(facts, { reason: 'x', now, reboot: false }))).toEqual([
    'reject-slot',
    'record-trial',
  ])
})
