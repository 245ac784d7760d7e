import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { chooseCopy, decodeEnvBlock } from '../../src/boot/env-block.ts'
import type { BootState, BootTarget } from '../../src/model/boot-state.ts'
import { simulateLoader } from '../../src/model/loader.ts'
import { predict } from '../../vm-tests/lib/prediction.ts'
import { canLoad, LOADER_CASES } from '../../vm-tests/loader-cases.ts'
import { anyBootState } from './boot-states.ts'

// The same table runs against real GRUB in vm-tests/loader.test.ts.
describe('the table', () => {
  test('has at least 60 rows, each with its own name', () => {
    expect(LOADER_CASES.length).toBeGreaterThanOrEqual(60)
    expect(new Set(LOADER_CASES.map(({ name }) => name)).size).toBe(LOADER_CASES.length)
  })

  test.each(LOADER_CASES)('$name', (loaderCase) => {
    const copies = { env0: decodeEnvBlock(loaderCase.env0), env1: decodeEnvBlock(loaderCase.env1) }
    const state = chooseCopy(copies)
    const { run, env0, env1 } = predict(loaderCase)
    expect(run.pick).toBe(loaderCase.picks)
    if (run.pick !== null) expect(canLoad(loaderCase, run.pick)).toBe(true)
    // The bytes left on disk mean what the model says.
    const after = chooseCopy({ env0: decodeEnvBlock(env0), env1: decodeEnvBlock(env1) })
    expect(after).toEqual(run.after)
    if (state === undefined) expect([env0, env1]).toEqual([loaderCase.env0, loaderCase.env1])
    // One copy at most is written.
    expect(env0.equals(loaderCase.env0) || env1.equals(loaderCase.env1)).toBe(true)
  })
})

const anyLoadable = fc.subarray<BootTarget>(['a', 'b', 'r'])

function check(assert: (state: BootState, loadable: BootTarget[], canSave: boolean) => void): void {
  fc.assert(fc.property(anyBootState, anyLoadable, fc.boolean(), assert), { numRuns: 500 })
}

const run = (state: BootState, loadable: BootTarget[], canSave = true) =>
  simulateLoader(state, (target) => loadable.includes(target), canSave)

function toSpend({ slots, rearms }: BootState): number {
  return slots.a.left + slots.b.left + rearms
}

describe('whatever the state is', () => {
  test('it only ever spends, and changes neither sequence, order, verdicts nor generations', () => {
    check((state, loadable, canSave) => {
      const { after } = run(state, loadable, canSave)
      if (after === undefined) throw new Error('a readable state went away')
      expect(toSpend(after)).toBeLessThanOrEqual(toSpend(state))
      const fixed = ({ sequence, order, slots: { a, b } }: BootState) => [
        ...[sequence, order, a.confirmed, b.confirmed, a.generation, b.generation],
      ]
      expect(fixed(after)).toEqual(fixed(state))
    })
  })

  test('an unconfirmed slot is started only with a try that is recorded', () => {
    check((state, loadable, canSave) => {
      const { pick, after } = run(state, loadable, canSave)
      if (pick === null || pick === 'r' || state.slots[pick].confirmed) return
      expect(canSave).toBe(true)
      expect(after?.slots[pick].left).toBeLessThan(state.slots[pick].left)
      expect(after?.last).toBe(pick)
    })
  })

  test('a one-shot is gone after the boot that it caused', () => {
    check((state, loadable) => {
      const { after, spent } = run(state, loadable)
      if (spent.length > 0) expect(after?.next).toBe(null)
    })
  })

  test('nothing is booted only where no good slot and no old system can be loaded', () => {
    check((state, loadable, canSave) => {
      if (run(state, loadable, canSave).pick !== null) return
      for (const slot of ['a', 'b'] as const)
        expect(state.slots[slot].confirmed && loadable.includes(slot)).toBe(false)
      expect(loadable).not.toContain('r')
    })
  })

  test('boots without a verdict come to an end: a trial is not started for ever', () => {
    check((state) => {
      let now = state
      for (let boot = 0; boot < 16; boot++) now = run(now, ['a', 'b']).after ?? now
      const { pick } = run(now, ['a', 'b'])
      expect(pick === null || now.slots[pick as 'a' | 'b'].confirmed).toBe(true)
    })
  })

  test('without any state every target that loads is better than none', () => {
    const pick = (loadable: BootTarget[]) =>
      simulateLoader(undefined, (target) => loadable.includes(target)).pick
    expect([pick(['a', 'b']), pick(['b']), pick(['a', 'b', 'r']), pick([])]).toEqual(['a', 'b', 'r', null])
  })
})
