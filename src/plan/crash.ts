import { assertNever } from '../core/assert-never.ts'
import type { Digest } from '../core/digest.ts'
import { arm, type BootState, confirm, disarm, reject, type SlotName } from '../model/boot-state.ts'
import { simulateLoader } from '../model/loader.ts'
import type { Plan, Step } from './step.ts'

/** What a slot's partition holds as far as a reader after a power cut can rely on. */
export type Content = Digest | 'torn'

/** The part of the machine that decides what boots. */
export interface World {
  boot: BootState
  content: Record<SlotName, Content>
  /** Slots with writes that a power cut may still lose. */
  unflushed: readonly SlotName[]
}

export interface Outcome {
  /** Index of the step that was cut; `plan.steps.length` for none. */
  step: number
  when: 'before' | 'inside' | 'after'
  picks: SlotName | 'r' | null
  /** What the picked slot holds. */
  boots: Content | null
}

/**
 * Cuts the power before, inside and after every step of a plan, and lets the loader boot what is there.
 * The loader is taken to load even a torn slot: only the boot state may protect it.
 */
export function crashOutcomes(plan: Plan, start: World): Outcome[] {
  const outcomes: Outcome[] = []
  let world = start
  for (const [step, effect] of plan.steps.entries()) {
    outcomes.push({ step, when: 'before', ...bootAfterCut(world) })
    for (const inside of cutInside(world, effect)) {
      outcomes.push({ step, when: 'inside', ...bootAfterCut(inside) })
    }
    world = perform(world, effect)
    outcomes.push({ step, when: 'after', ...bootAfterCut(world) })
  }
  return outcomes
}

/** The power cut itself: what was not flushed is lost or half there. */
function bootAfterCut(world: World): Pick<Outcome, 'picks' | 'boots'> {
  const content = { ...world.content }
  for (const slot of world.unflushed) content[slot] = 'torn'
  const { pick } = simulateLoader(world.boot, (target) => target !== 'r')
  const boots = pick === 'a' || pick === 'b' ? content[pick] : null
  return { picks: pick, boots }
}

/** Worlds that a cut in the middle of the step can leave. One-sector writes are there or not, never half. */
function cutInside(world: World, step: Step): World[] {
  if (step.kind !== 'write-image' && step.kind !== 'write-tree') return [world, perform(world, step)]
  return [{ ...world, content: { ...world.content, [step.slot]: 'torn' }, unflushed: [step.slot] }]
}

function perform(world: World, step: Step): World {
  switch (step.kind) {
    case 'write-image':
      return written(world, step.slot, step.image)
    case 'write-tree':
      return written(world, step.slot, step.commit)
    case 'flush-slot':
      return { ...world, unflushed: world.unflushed.filter((slot) => slot !== step.slot) }
    case 'disarm-slot':
      return { ...world, boot: disarm(world.boot, step.slot) }
    case 'arm-slot':
      return { ...world, boot: arm(world.boot, step.slot, step.tries, step.keepEtc) }
    case 'confirm-slot':
      return { ...world, boot: confirm(world.boot, step.slot) }
    case 'reject-slot':
      return { ...world, boot: reject(world.boot, step.slot) }
    case 'forget-image':
    case 'verify-image':
    case 'verify-tree':
    case 'record-image':
    case 'record-trial':
    case 'record-rejection':
    case 'set-floors':
    case 'record-trust':
    // It decides which loader starts; here it is ours.
    case 'prefer-loader':
    case 'stop-watchdog':
    case 'reboot':
      return world
    default:
      return assertNever(step)
  }
}

function written(world: World, slot: SlotName, held: Digest): World {
  return { ...world, content: { ...world.content, [slot]: held }, unflushed: [...world.unflushed, slot] }
}
