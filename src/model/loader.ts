import { type BootState, type BootTarget, firstSlot, otherSlot } from './boot-state.ts'

/** What one pass of the loader does. */
export interface LoaderRun {
  /** What is started; null where nothing can be: the loader waits and starts over. */
  pick: BootTarget | null
  /** Tries that the kernel is told are left, 0 for `r`. */
  left: number
  /** The state as the loader leaves it in the copy it used. */
  after: BootState | undefined
  /** Tries spent in this pass, one save each. Re-arming and uncounted starts are not among them. */
  spent: BootTarget[]
}

/** One start that the loader makes where everything before it could not be loaded. */
interface Attempt {
  target: BootTarget
  /** Saved before the start. */
  record?: BootState
  /** One of the tries that must not be endless. */
  isTry: boolean
}

/**
 * What the loader does with `state`, the same algorithm as `src/system/grub.cfg`. Undefined: both copies are unusable.
 * `canLoad` says whether kernel and initrd can be loaded, and for `r` whether there is an old system at all; `canSave`
 * is false where the disk refuses the loader's writes.
 */
export function simulateLoader(
  state: BootState | undefined,
  canLoad: (target: BootTarget) => boolean,
  canSave = true,
): LoaderRun {
  let now = state
  let after = state
  const spent: BootTarget[] = []
  for (const { target, record, isTry } of state === undefined ? unknownState() : attempts(state)) {
    now = record ?? now
    if (record !== undefined && canSave) {
      after = record
      if (isTry) spent.push(target)
    }
    // A try that cannot be recorded would be endless: only a slot known to be good gets it.
    if (isTry && !canSave && !isConfirmed(state, target)) continue
    if (canLoad(target)) return { pick: target, left: triesLeft(now, target), after, spent }
  }
  return { pick: null, left: 0, after, spent }
}

/** Nothing is known and nothing can be counted: the old system first, then whichever slot loads. */
function unknownState(): Attempt[] {
  return (['r', 'a', 'b'] as const).map((target) => ({ target, isTry: false }))
}

function* attempts(state: BootState): Generator<Attempt> {
  const first = firstSlot(state)
  const order = [first, otherSlot(first)]
  const targets: BootTarget[] = state.next === null ? order : [state.next, ...order]
  let now: BootState = { ...state, next: null }
  // 1. The one-shot, then the slots in order, each while it has tries left.
  for (const target of targets) {
    const record = spendTry(now, target)
    if (record === undefined) continue
    now = record
    yield { target, record, isTry: true }
  }
  // 2. All tries spent: better a slot that was good once than a dead machine.
  const good = order.filter((slot) => isConfirmed(state, slot))
  for (const target of good) {
    if (now.rearms === 0) break
    now = { ...now, rearms: now.rearms - 1, last: target }
    yield { target, record: now, isTry: false }
  }
  // 3. The old system. 4. Uncounted, never an unconfirmed slot: it may be half written.
  yield { target: 'r', isTry: false }
  for (const target of good) yield { target, isTry: false }
}

/** `state` with one try of `target` less; undefined where none is left. `r` has no count, but its one-shot is cleared. */
function spendTry(state: BootState, target: BootTarget): BootState | undefined {
  if (target === 'r') return { ...state, last: target }
  const slot = state.slots[target]
  if (slot.left === 0) return undefined
  return { ...state, last: target, slots: { ...state.slots, [target]: { ...slot, left: slot.left - 1 } } }
}

function isConfirmed(state: BootState | undefined, target: BootTarget): boolean {
  return target !== 'r' && state?.slots[target].confirmed === true
}

function triesLeft(state: BootState | undefined, target: BootTarget): number {
  return target === 'r' || state === undefined ? 0 : state.slots[target].left
}
