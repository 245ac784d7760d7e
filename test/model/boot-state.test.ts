import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  arm,
  type BootState,
  confirm,
  disarm,
  initialBootState,
  otherSlot,
  reject,
  type SlotName,
} from '../../src/model/boot-state.ts'
import { simulateLoader } from '../../src/model/loader.ts'
import { anyBootState, anySlot, anyTries } from './boot-states.ts'

const loadsAll = (target: string) => target !== 'r'

describe('transitions', () => {
  const fresh = initialBootState('a')

  test('a fresh disk boots its good slot and has nothing in the other', () => {
    expect(fresh).toMatchObject({ sequence: 1, order: 'ab', next: null, rearms: 2, last: null })
    expect(fresh.slots.a).toEqual({ confirmed: true, left: 3, generation: 1 })
    expect(fresh.slots.b).toEqual({ confirmed: false, left: 0, generation: 0 })
    expect(initialBootState('b').order).toBe('ba')
  })

  test('arming gives tries, a new generation and the first place', () => {
    const armed = arm({ ...fresh, rearms: 0 }, 'b', 5)
    expect(armed).toMatchObject({ sequence: 2, order: 'ba', rearms: 2 })
    expect(armed.slots.b).toEqual({ confirmed: false, left: 5, generation: 2 })
    expect(armed.slots.a).toEqual(fresh.slots.a)
  })

  test('arming with the old /etc keeps the generation', () => {
    expect(arm({ ...fresh, sequence: 9 }, 'a', 3, true).slots.a.generation).toBe(1)
  })

  test.each([0, 8, -1, 1.5, Number.NaN])('%d tries are a bug', (tries) => {
    expect(() => arm(fresh, 'b', tries)).toThrow('not 1 to 7 tries')
  })

  test.each([disarm, reject])('%o takes tries, verdict, place and one-shot', (giveUp) => {
    const given = giveUp({ ...arm(fresh, 'b'), next: 'b' }, 'b')
    expect(given).toMatchObject({ sequence: 3, order: 'ab', next: null })
    expect(given.slots.b).toMatchObject({ confirmed: false, left: 0 })
    expect(giveUp({ ...fresh, next: 'r' }, 'b').next).toBe('r')
  })

  test('confirming refills and leaves order and one-shot alone', () => {
    const state = { ...arm(fresh, 'b'), next: 'r', rearms: 0 } as const satisfies BootState
    const confirmed = confirm(state, 'b')
    expect(confirmed).toMatchObject({ sequence: 3, order: 'ba', next: 'r', rearms: 2 })
    expect(confirmed.slots.b).toEqual({ confirmed: true, left: 3, generation: 2 })
  })
})

describe('whatever the state was', () => {
  const transitions = {
    arm: (state: BootState, slot: SlotName, tries: number) => arm(state, slot, tries),
    disarm,
    confirm,
    reject,
  }
  const checkAll = (check: (before: BootState, after: BootState, slot: SlotName) => void) =>
    fc.assert(
      fc.property(
        anyBootState,
        anySlot,
        anyTries,
        fc.constantFrom(...Object.values(transitions)),
        (before, slot, tries, change) => {
          check(before, change(before, slot, tries), slot)
        },
      ),
    )

  test('the sequence grows by one and the argument stays as it was', () => {
    checkAll((before, after) => expect(after.sequence).toBe(before.sequence + 1))
    fc.assert(
      fc.property(anyBootState, anySlot, (state, slot) => {
        const copy = structuredClone(state)
        for (const change of [arm, disarm, confirm, reject]) change(state, slot)
        expect(state).toEqual(copy)
      }),
    )
  })

  test('the other slot is not touched', () => {
    checkAll((before, after, slot) =>
      expect(after.slots[otherSlot(slot)]).toEqual(before.slots[otherSlot(slot)]),
    )
  })

  test('something can be booted as long as the other slot was good', () => {
    checkAll((before, after, slot) => {
      fc.pre(before.slots[otherSlot(slot)].confirmed)
      expect(simulateLoader(after, loadsAll).pick).not.toBe(null)
    })
  })

  test('a slot given up is not booted before it is armed again', () => {
    fc.assert(
      fc.property(anyBootState, anySlot, (state, slot) => {
        for (const giveUp of [disarm, reject])
          expect(simulateLoader(giveUp(state, slot), loadsAll).pick).not.toBe(slot)
      }),
    )
  })

  test('a trial that never comes up is over after its tries, and the good slot boots', () => {
    fc.assert(
      fc.property(anySlot, anyTries, (slot, tries) => {
        let state = arm(initialBootState(otherSlot(slot)), slot, tries)
        for (let boot = 0; boot < tries; boot++) {
          const run = simulateLoader(state, loadsAll)
          expect(run.pick).toBe(slot)
          state = run.after ?? state
        }
        expect(simulateLoader(state, loadsAll).pick).toBe(otherSlot(slot))
      }),
    )
  })
})
