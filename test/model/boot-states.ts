import fc from 'fast-check'
import type { BootState, SlotBootState } from '../../src/model/boot-state.ts'

const digit = fc.integer({ min: 0, max: 7 })
/** Eight digits, with room for transitions to add to it. */
const number = fc.integer({ min: 0, max: 99_999_990 })
const target = fc.constantFrom('a' as const, 'b' as const, 'r' as const, null)

const slotState: fc.Arbitrary<SlotBootState> = fc.record({
  confirmed: fc.boolean(),
  left: digit,
  generation: number,
})

/** Every state that can be written, whether our transitions make it or not. */
export const anyBootState: fc.Arbitrary<BootState> = fc.record({
  sequence: number,
  order: fc.constantFrom('ab' as const, 'ba' as const),
  next: target,
  slots: fc.record({ a: slotState, b: slotState }),
  rearms: digit,
  last: target,
})

export const anySlot = fc.constantFrom('a' as const, 'b' as const)
export const anyTries = fc.integer({ min: 1, max: 7 })
