import { describe, expect, test } from 'vitest'
import { describeStatus } from '../../src/agent/describe-status.ts'
import { statusOf } from '../../src/agent/status.ts'
import { type BootState, initialBootState } from '../../src/model/boot-state.ts'
import type { Facts } from '../../src/model/facts.ts'
import { parseSettings } from '../../src/model/settings.ts'
import { factsOf } from '../support/facts.ts'

const SETTINGS = parseSettings([])
const ONLY_A = initialBootState('a')

function look(takeover: Facts['takeover'], boot: BootState = ONLY_A) {
  const report = statusOf({ ...factsOf({ a: '1.0', boot }), takeover }, SETTINGS)
  return { report, text: describeStatus(report).join('\n') }
}

describe('status during a takeover', () => {
  test.each([true, false])(
    'of a rehearsal: the old system is next, whatever its verdict (%s)',
    (confirmed) => {
      const slots = { ...ONLY_A.slots, a: { ...ONLY_A.slots.a, confirmed } }
      const { report, text } = look({ stage: 'rehearsal', unattended: false }, { ...ONLY_A, slots })
      expect(report).toMatchObject({ takeover: 'rehearsal', nextBoot: 'r' })
      expect(text).toContain('next boot   the old system')
    },
  )

  test('after the commit: the new one is next, and the old one is still there', () => {
    const { report, text } = look({ stage: 'committed', isFirst: true })
    expect(report).toMatchObject({ takeover: 'committed', nextBoot: 'a' })
    expect(text).toContain('takeover    the old system is there')
  })

  test('after the commit, with UEFI that was told of our loader for one start only: the old one is next', () => {
    const { report } = look({ stage: 'committed', isFirst: false })
    expect(report).toMatchObject({ takeover: 'committed', nextBoot: 'r' })
  })

  test('after the commit, its tries spent: the old one is next', () => {
    const slots = { ...ONLY_A.slots, a: { ...ONLY_A.slots.a, confirmed: false, left: 0 } }
    const boot = { ...ONLY_A, slots }
    expect(look({ stage: 'committed', isFirst: true }, boot).report.nextBoot).toBe('r')
    // Where there is no old system nobody may say that it starts.
    expect(look(null, boot).report.nextBoot).not.toBe('r')
  })

  test('where there is none nothing is said of one', () => {
    const { report, text } = look(null)
    expect(report.takeover).toBeNull()
    expect(text).not.toContain('takeover')
  })
})
