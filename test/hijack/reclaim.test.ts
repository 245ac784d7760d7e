import { describe, expect, test } from 'vitest'
import { planReclaim } from '../../src/hijack/reclaim.ts'
import { arm, confirm } from '../../src/model/boot-state.ts'
import type { Facts, Takeover } from '../../src/model/facts.ts'
import type { Layout, Role } from '../../src/model/layout.ts'
import { factsOf } from '../support/facts.ts'
import { MIB } from './gpt-disk.ts'
import { FIRST_BOOT } from './takeover-facts.ts'

const OLD = { number: 2, offset: 2 * MIB, bytes: 1000 * MIB, uuid: 'old' }

/** Where the partitions begin, in MiB of the disk. */
function layoutWith(starts: Record<Role, number>): Layout {
  const partitions = Object.fromEntries(
    Object.entries(starts).map(([role, at], index) => [
      role,
      { role, number: index + 3, offset: at * MIB, bytes: 16 * MIB, uuid: role },
    ]),
  ) as Layout['partitions'] // one for each role
  const loader = { role: 'bios-boot', number: 1, offset: MIB, bytes: MIB, uuid: 'loader' } as const
  return { label: 'gpt', partitions: { 'bios-boot': loader, ...partitions }, old: OLD }
}

const IN_A_ROW = layoutWith({ 'rootfs-a': 100, 'rootfs-b': 200, bootstate: 300, swap: 310, state: 400 })

function facts(change: Partial<Facts> = {}): Facts {
  const takeover: Takeover = { stage: 'committed', isFirst: true }
  const boot = confirm(FIRST_BOOT, 'a')
  return { ...factsOf({ a: '1.0', boot }), live: true, layout: IN_A_ROW, takeover, ...change }
}

describe('the state partition grows', () => {
  test('up to where the old system ends', () => {
    expect(planReclaim(facts())).toEqual({
      old: OLD,
      state: IN_A_ROW.partitions.state,
      stateBytes: 602 * MIB,
    })
  })

  test('up to the next partition, whichever that is', () => {
    const layout = layoutWith({ state: 50, 'rootfs-b': 400, 'rootfs-a': 300, bootstate: 500, swap: 510 })
    expect(planReclaim(facts({ layout })).stateBytes).toBe(250 * MIB)
  })
})

describe('the old system is kept', () => {
  const refused = expect.objectContaining({ code: 'TAKEOVER_ORDER' })

  test.each<[string, Partial<Facts>, string]>([
    [
      'in a rehearsal, confirmed or not',
      { takeover: { stage: 'rehearsal', unattended: true } },
      'only way back',
    ],
    ['while the new one is on trial', { boot: arm(FIRST_BOOT, 'a') }, 'only way back'],
    [
      'while an update of it is on trial',
      { boot: arm(confirm(FIRST_BOOT, 'a'), 'b'), booted: 'b' },
      'only way back',
    ],
    ['as long as the new one never ran', { booted: null }, 'only way back'],
  ])('%s', (_, change, text) => {
    expect(() => planReclaim(facts(change))).toThrow(refused)
    expect(() => planReclaim(facts(change))).toThrow(text)
  })

  test('where it is gone only the file system may still have to grow', () => {
    const { old: _, ...layout } = IN_A_ROW
    const { state } = layout.partitions
    const plan = planReclaim(facts({ layout, takeover: null }))
    expect(plan).toEqual({ old: null, state, stateBytes: state.bytes })
  })
})
