/** A place that holds one image. */
export type SlotName = 'a' | 'b'

/** What the loader can boot: a slot, or `r`, the old system during a takeover. */
export type BootTarget = SlotName | 'r'

export interface SlotBootState {
  /** The health verdict of an earlier boot was good. */
  confirmed: boolean
  /** Boots left before the loader gives the slot up, 0 to 7. */
  left: number
  /** `sequence` at which the slot was last armed; names the slot's own upper of `/etc`. */
  generation: number
}

/** What the loader reads before each boot, and the only thing that decides what boots. */
export interface BootState {
  /** Grows with every write by user space; the loader never changes it. */
  sequence: number
  order: 'ab' | 'ba'
  /** One-shot target, cleared by the loader in the write that counts the try. */
  next: BootTarget | null
  slots: Record<SlotName, SlotBootState>
  /** How often the loader may give a confirmed slot one more try when all tries are spent, 0 to 7. */
  rearms: number
  /** What the loader picked last. */
  last: BootTarget | null
}

export const MAX_TRIES = 7
export const DEFAULT_TRIES = 3
const DEFAULT_REARMS = 2

export function otherSlot(slot: SlotName): SlotName {
  return slot === 'a' ? 'b' : 'a'
}

/** The slot the loader tries first. */
export function firstSlot(state: Pick<BootState, 'order'>): SlotName {
  return state.order === 'ab' ? 'a' : 'b'
}

/** A fresh disk: `slot` holds a good image, the other one nothing. */
export function initialBootState(slot: SlotName): BootState {
  const good: SlotBootState = { confirmed: true, left: DEFAULT_TRIES, generation: 1 }
  const empty: SlotBootState = { confirmed: false, left: 0, generation: 0 }
  return {
    sequence: 1,
    order: orderFrom(slot),
    next: null,
    slots: slot === 'a' ? { a: good, b: empty } : { a: empty, b: good },
    rearms: DEFAULT_REARMS,
    last: null,
  }
}

/**
 * Makes `slot` the next to boot, with that many tries (1 to 7). With `keepEtc` it boots with the upper of `/etc` it had
 * before, else with a new one.
 */
export function arm(state: BootState, slot: SlotName, tries = DEFAULT_TRIES, keepEtc = false): BootState {
  if (!Number.isInteger(tries) || tries < 1 || tries > MAX_TRIES)
    throw new Error(`not 1 to 7 tries: ${tries}`)
  const sequence = state.sequence + 1
  const generation = keepEtc ? state.slots[slot].generation : sequence
  return {
    ...withSlot(state, slot, { confirmed: false, left: tries, generation }),
    order: orderFrom(slot),
    rearms: DEFAULT_REARMS,
  }
}

/** Makes `slot` unbootable, before anything is written to it. */
export function disarm(state: BootState, slot: SlotName): BootState {
  return {
    ...withSlot(state, slot, { ...state.slots[slot], confirmed: false, left: 0 }),
    order: orderFrom(otherSlot(slot)),
    next: state.next === slot ? null : state.next,
  }
}

/** The health verdict was good: the slot becomes, or stays, permanent, and gets all its tries back. */
export function confirm(state: BootState, slot: SlotName): BootState {
  return {
    ...withSlot(state, slot, { ...state.slots[slot], confirmed: true, left: DEFAULT_TRIES }),
    rearms: DEFAULT_REARMS,
  }
}

/** The next start, and that one alone, is of `target`. */
export function startOnce(state: BootState, target: BootTarget): BootState {
  return { ...state, sequence: state.sequence + 1, next: target }
}

/** The health verdict was bad. To the loader this is `disarm`; why it was given up is in the records. */
export function reject(state: BootState, slot: SlotName): BootState {
  return disarm(state, slot)
}

function orderFrom(first: SlotName): BootState['order'] {
  return first === 'a' ? 'ab' : 'ba'
}

/** `state` with another slot, as the next write of user space. */
function withSlot(state: BootState, name: SlotName, slot: SlotBootState): BootState {
  return { ...state, sequence: state.sequence + 1, slots: { ...state.slots, [name]: slot } }
}
