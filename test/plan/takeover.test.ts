import { describe, expect, test } from 'vitest'
import { arm, type BootState, confirm, initialBootState, reject } from '../../src/model/boot-state.ts'
import type { Facts, Takeover } from '../../src/model/facts.ts'
import { simulateLoader } from '../../src/model/loader.ts'
import { planConfirm, planReject, planVerdict } from '../../src/plan/verdict.ts'
import { factsOf, imageOf } from '../support/facts.ts'

const now = new Date('2026-01-01T00:00:00Z')
const good = { healthy: true, reason: '' }
const bad = { healthy: false, reason: 'web: no answer' }
const kinds = (plan: { steps: readonly { kind: string }[] }): string[] => plan.steps.map(({ kind }) => kind)

/** No release was ever confirmed here: slot a has its first trial, and the old system is beside it. */
const FIRST_TRIAL: BootState = {
  ...arm({ ...initialBootState('a'), slots: { a: EMPTY(), b: EMPTY() } }, 'a'),
  last: 'a',
}
function EMPTY() {
  return { confirmed: false, left: 0, generation: 0 }
}

function during(takeover: Takeover | null, boot = FIRST_TRIAL): Facts {
  const facts = factsOf({ a: '1.0', boot, trial: 'a' })
  return { ...facts, live: true, sequenceAtBoot: boot.sequence, takeover }
}
const attended = during({ stage: 'rehearsal', unattended: false })
const unattended = during({ stage: 'rehearsal', unattended: true })
const committed = during({ stage: 'committed', isFirst: true })

describe('a rehearsal that is healthy', () => {
  test('waits for somebody who can log in, and its watchdog goes on', () => {
    const plan = planVerdict(attended, good, now)
    expect(plan.steps).toEqual([])
    expect(plan.outcome).toContain('waits for "pine-update confirm" over ssh')
  })

  test('is confirmed when it was said that this is enough, and the old system starts', () => {
    const plan = planVerdict(unattended, good, now)
    expect(kinds(plan)).toEqual(['confirm-slot', 'set-floors', 'record-trial', 'reboot'])
    expect(plan.outcome).toContain('run "pine-update hijack commit" there')
  })

  test('is confirmed by hand in the same way: what stops the watchdog would stay for good', () => {
    const plan = planConfirm(attended)
    expect(kinds(plan)).toEqual(['confirm-slot', 'set-floors', 'record-trial', 'reboot'])
    expect(plan.outcome).toContain('1.0 has proved itself. The old system starts now')
  })
})

describe.each([
  ['an attended rehearsal', attended],
  ['an unattended rehearsal', unattended],
  ['the first start after commit', committed],
])('%s that is not healthy', (_, facts) => {
  test('gives itself up for the old system, although no release was ever confirmed', () => {
    const plan = planVerdict(facts, bad, now)
    expect(kinds(plan)).toEqual(['record-rejection', 'reject-slot', 'record-trial', 'reboot'])
    expect(plan.steps[0]).toMatchObject({ rejection: { digest: '1.0', reason: 'web: no answer' } })
    expect(plan.outcome).toBe('1.0 is given up; the old system boots next.')
  })

  test('does so by hand as well', () => {
    const plan = planReject(facts, { reason: 'no', now, reboot: false })
    expect(plan.outcome).toContain('the old system boots next')
  })
})

test('an update that fails while the old system is still there goes back to the release that was confirmed', () => {
  const boot: BootState = { ...arm(confirm(FIRST_TRIAL, 'a'), 'b'), last: 'b' }
  const facts = factsOf({ a: '1.0', b: '2.0', boot, booted: 'b', trial: 'b' })
  const plan = planReject(
    { ...facts, takeover: { stage: 'committed', isFirst: true } },
    { reason: 'web: no answer', now, reboot: true },
  )
  expect(plan.outcome).toBe('2.0 is given up; slot a boots next.')
})

test('without an old system there is nothing to give it up for', () => {
  expect(() => planVerdict(during(null), bad, now)).toThrow(
    expect.objectContaining({ code: 'NOTHING_TO_ROLL_BACK_TO' }),
  )
})

test('after commit our own loader does what the verdict says', () => {
  const canLoad = () => true
  expect(simulateLoader(reject(FIRST_TRIAL, 'a'), canLoad).pick).toBe('r')
  expect(simulateLoader(confirm(FIRST_TRIAL, 'a'), canLoad).pick).toBe('a')
})

describe('after commit', () => {
  test('a healthy start is permanent, and the machine goes on with it', () => {
    const plan = planVerdict(committed, good, now)
    expect(kinds(plan)).toEqual(['confirm-slot', 'set-floors', 'record-trial', 'stop-watchdog'])
    expect(plan.outcome).toBe('1.0 in slot a is permanent.')
  })

  test('the firmware is asked to start this system first, before anything becomes permanent', () => {
    const oneStart = during({ stage: 'committed', isFirst: false })
    const expected = ['prefer-loader', 'confirm-slot', 'set-floors', 'record-trial', 'stop-watchdog']
    expect(kinds(planVerdict(oneStart, good, now))).toEqual(expected)
    // It is made good at each start: what a firmware forgets it is told again.
    const later = during({ stage: 'committed', isFirst: false }, confirm(FIRST_TRIAL, 'a'))
    expect(kinds(planConfirm(later))).toContain('prefer-loader')
    expect(kinds(planVerdict(oneStart, bad, now))).not.toContain('prefer-loader')
    // Of a disk that does not run no firmware says anything.
    expect(kinds(planConfirm({ ...oneStart, live: false }))).not.toContain('prefer-loader')
  })

  test('a release that was confirmed stays when it is ill: it can be reached and mended', () => {
    const facts = { ...during({ stage: 'committed', isFirst: true }, confirm(FIRST_TRIAL, 'a')) }
    facts.records.trial = null
    expect(kinds(planVerdict(facts, bad, now))).toEqual(['stop-watchdog'])
  })

  test('an update that fails is given up like any other', () => {
    const boot = { ...arm(confirm(FIRST_TRIAL, 'a'), 'b'), last: 'b' as const }
    const facts = { ...factsOf({ a: '1.0', b: '2.0', boot, booted: 'b', trial: 'b' }), live: true }
    facts.records.slots.b = imageOf('2.0')
    const plan = planVerdict(
      { ...facts, sequenceAtBoot: boot.sequence, takeover: committed.takeover },
      bad,
      now,
    )
    expect(kinds(plan)).toEqual(['record-rejection', 'reject-slot', 'record-trial', 'reboot'])
    expect(simulateLoader(reject(boot, 'b'), () => true).pick).toBe('a')
  })
})
