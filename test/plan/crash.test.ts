import { describe, expect, test } from 'vitest'
import { arm, confirm, initialBootState, reject, type SlotName } from '../../src/model/boot-state.ts'
import type { Facts } from '../../src/model/facts.ts'
import { planApply } from '../../src/plan/apply.ts'
import { crashOutcomes, type World } from '../../src/plan/crash.ts'
import type { Plan, Step } from '../../src/plan/step.ts'
import { planTrust } from '../../src/plan/trust.ts'
import { planConfirm, planReject, planRollback, planVerdict } from '../../src/plan/verdict.ts'
import { factsOf, imageOf } from '../support/facts.ts'

const now = new Date('2026-01-01T00:00:00Z')
const release = { ...imageOf('2.0'), digest: 'new' }
const tree = { ...release, fs: 'tree' }

// Starting points: each is a machine that a real life of updates reaches.
const fresh = factsOf({ a: '1.0' })
const updated = factsOf({
  a: '1.0',
  b: '2.0',
  boot: confirm(arm(initialBootState('a'), 'b'), 'b'),
  booted: 'b',
})
const onTrial = factsOf({
  a: '1.0',
  b: '2.0',
  boot: { ...arm(initialBootState('a'), 'b'), last: 'b' },
  booted: 'b',
  trial: 'b',
})
const armed = factsOf({ a: '1.0', b: '2.0', boot: arm(initialBootState('a'), 'b'), trial: 'b' })
const spent = factsOf({ a: '1.0', b: '2.0', boot: spendAll(arm(initialBootState('a'), 'b')), trial: 'b' })
const rejected = factsOf({ a: '1.0', b: '2.0', boot: reject(arm(initialBootState('a'), 'b'), 'b') })

function spendAll(boot: Facts['boot']): Facts['boot'] {
  return { ...boot, slots: { ...boot.slots, b: { ...boot.slots.b, left: 0 } }, last: 'a' }
}

const trust = { keys: { version: 2, list: 'signed' }, time: 1_800_000_000 }
const options = { tries: 3, reboot: true, now, trust, state: undefined }
const good = { healthy: true, reason: '' }
const bad = { healthy: false, reason: 'web: no answer' }

const STORIES: Record<string, [Facts, (facts: Facts) => Plan]> = {
  'apply to a fresh disk': [fresh, (facts) => planApply(facts, release, options)],
  'apply a tree': [fresh, (facts) => planApply(facts, tree, options)],
  'apply a tree over the older one': [updated, (facts) => planApply(facts, tree, options)],
  'apply over the older release': [updated, (facts) => planApply(facts, release, options)],
  'apply over an armed release that never booted': [armed, (facts) => planApply(facts, release, options)],
  'apply over a rejected release': [rejected, (facts) => planApply(facts, release, options)],
  'trust newer keys': [fresh, () => planTrust(trust.keys, trust.time)],
  'confirm a trial': [onTrial, planConfirm],
  'confirm what was confirmed': [updated, planConfirm],
  'reject a trial that runs': [onTrial, (facts) => planReject(facts, { reason: 'x', now, reboot: true })],
  'reject a trial that never ran': [armed, (facts) => planReject(facts, { reason: 'x', now, reboot: true })],
  'roll back': [updated, (facts) => planRollback(facts, options)],
  'roll back from a trial': [onTrial, (facts) => planRollback(facts, options)],
  'a good verdict on a trial': [onTrial, (facts) => planVerdict(facts, good, now)],
  'a bad verdict on a trial': [onTrial, (facts) => planVerdict(facts, bad, now)],
  'a good verdict after the trial ran out': [spent, (facts) => planVerdict(facts, good, now)],
  'a bad verdict after the trial ran out': [spent, (facts) => planVerdict(facts, bad, now)],
}

function worldOf(facts: Facts): World {
  const content = (slot: SlotName) => facts.records.slots[slot]?.digest ?? 'torn'
  return { boot: facts.boot, content: { a: content('a'), b: content('b') }, unflushed: [] }
}

function broughtBy(step: Step): string[] {
  if (step.kind === 'write-image') return [step.image]
  return step.kind === 'write-tree' ? [step.commit] : []
}

/** Outcomes in which the machine boots neither something it had nor the release that the plan brings. */
function bricks(plan: Plan, world: World): unknown[] {
  const brought = plan.steps.flatMap(broughtBy)
  const whole = new Set([...Object.values(world.content).filter((held) => held !== 'torn'), ...brought])
  return crashOutcomes(plan, world).filter(({ boots }) => boots === null || !whole.has(boots))
}

describe.each(Object.entries(STORIES))('%s', (_, [facts, makePlan]) => {
  const plan = makePlan(facts)

  test('boots the old release or the new one, wherever the power is cut', () => {
    expect(crashOutcomes(plan, worldOf(facts)).length).toBeGreaterThanOrEqual(plan.steps.length * 3)
    expect(bricks(plan, worldOf(facts))).toEqual([])
  })

  test('never writes to the slot that runs', () => {
    const written = plan.steps.filter((step) => broughtBy(step).length > 0)
    expect(written.filter((step) => 'slot' in step && step.slot === facts.booted)).toEqual([])
  })

  test('arms at most once, after a flush and a verification', () => {
    const kinds = plan.steps.map((step) => step.kind)
    const arms = kinds.filter((kind) => kind === 'arm-slot')
    expect(arms.length).toBeLessThanOrEqual(1)
    if (arms.length === 0) return
    const before = kinds.slice(0, kinds.indexOf('arm-slot'))
    const kind = before.includes('verify-tree') ? 'tree' : 'image'
    expect(before).toContain(`verify-${kind}`)
    if (plan.steps.some((step) => broughtBy(step).length > 0)) {
      const order: Step['kind'][] = ['disarm-slot', `write-${kind}`, 'flush-slot', `verify-${kind}`]
      expect(before.filter((kind) => order.includes(kind))).toEqual(order)
    }
  })

  test('is plain data', () => expect(JSON.parse(JSON.stringify(plan))).toEqual(plan))
})

describe('the check itself', () => {
  const plan = planApply(updated, release, options)
  const without = (kind: Step['kind']) => ({
    ...plan,
    steps: plan.steps.filter((step) => step.kind !== kind),
  })

  test('finds a plan that does not disarm before it writes', () => {
    const stale = factsOf({ a: '1.0', b: '2.0', boot: arm(initialBootState('a'), 'b') })
    const careless = planApply(stale, release, options)
    careless.steps = careless.steps.filter((step) => step.kind !== 'disarm-slot')
    expect(bricks(careless, worldOf(stale))).not.toEqual([])
  })

  test('finds a plan that arms what it has not flushed', () => {
    expect(bricks(without('flush-slot'), worldOf(updated))).not.toEqual([])
  })

  test('finds a plan that arms before it writes', () => {
    const arming = plan.steps.filter((step) => step.kind === 'arm-slot')
    const rest = without('arm-slot').steps.filter((step) => step.kind !== 'disarm-slot')
    const early = { ...plan, steps: [...arming, ...rest] }
    expect(bricks(early, worldOf(updated))).not.toEqual([])
  })

  test('finds a plan that writes to the slot that runs', () => {
    const swapped = plan.steps.map((step) => ('slot' in step ? { ...step, slot: 'b' as const } : step))
    const steps = swapped.filter((step) => step.kind !== 'disarm-slot')
    expect(bricks({ ...plan, steps }, worldOf(updated))).not.toEqual([])
  })
})
