import { openBundle } from '../../src/bundle/reader.ts'
import { parseSettings } from '../../src/model/settings.ts'
import type { Step } from '../../src/plan/step.ts'
import { admitBundle } from '../../src/run/admit.ts'
import { applyBundle } from '../../src/run/apply.ts'
import { withMachine } from '../../src/run/machine.ts'
import { PHASES, type Phase } from './phases.ts'
import type { Server } from './server.ts'
import { overTheNewest, overTwoSectors, type Twist, unflushed, unflushedWriter } from './twists.ts'

/** The product, broken on purpose: the machine is worth as much as what it finds here. */
export interface BrokenOrder {
  readonly name: string
  readonly phase: Phase
  readonly twist?: Twist
  /** Part of a problem that must be among what is found. */
  readonly finds: string
}

function phaseNamed(name: string): Phase {
  const phase = PHASES.find((known) => known.name === name)
  if (phase === undefined) throw new Error(`there is no phase "${name}"`)
  return phase
}

const APPLY = phaseNamed('apply, a full bundle')
const OTHER_WAY = phaseNamed('apply, in the other direction')

/** The same phase, with the steps of its plan rearranged before they are run. */
function withSteps(phase: Phase, bundle: string, rearrange: (steps: Step[]) => Step[]): Phase {
  return { ...phase, action: (server) => applyRearranged(server, bundle, rearrange) }
}

async function applyRearranged(
  { host }: Server,
  bundle: string,
  rearrange: (steps: Step[]) => Step[],
): Promise<void> {
  const request = { settings: parseSettings([]), keyring: undefined, tries: undefined, reboot: false }
  const allowances = { allowDowngrade: false, allowExpired: false, forceRejected: false }
  await withMachine(host, { disk: undefined, writable: true }, async (machine) => {
    const opened = await openBundle(host.readSource(bundle))
    const ready = await admitBundle(machine, opened, { ...request, ...allowances })
    if (ready.plan === undefined) return
    const plan = { ...ready.plan, steps: rearrange([...ready.plan.steps]) }
    await applyBundle(machine, { ...ready, plan }, { onStep: () => undefined, onBase: () => undefined })
    await opened.close()
  })
}

/** Moves the step of one kind before, or behind, the step of another kind. */
function moved(
  kind: Step['kind'],
  where: 'before' | 'behind',
  other: Step['kind'],
): (steps: Step[]) => Step[] {
  return (steps) => {
    const rest = steps.filter((step) => step.kind !== kind)
    const at = rest.findIndex((step) => step.kind === other) + (where === 'behind' ? 1 : 0)
    return [...rest.slice(0, at), ...steps.filter((step) => step.kind === kind), ...rest.slice(at)]
  }
}

function without(...kinds: Step['kind'][]): (steps: Step[]) => Step[] {
  return (steps) => steps.filter(({ kind }) => !kinds.includes(kind))
}

const OF_A_WRITE: readonly Step['kind'][] = ['write-image', 'flush-slot', 'verify-image']

function toTheWrongSlot(steps: Step[]): Step[] {
  return steps.map((step) =>
    'slot' in step && OF_A_WRITE.includes(step.kind) ? { ...step, slot: 'a' } : step,
  )
}

const REORDERED: readonly [string, Phase, string, (steps: Step[]) => Step[], string][] = [
  ['arms before it writes', APPLY, '/2.0.bundle', moved('arm-slot', 'before', 'write-image'), 'with torn'],
  [
    'notes the trial after the arming',
    APPLY,
    '/2.0.bundle',
    moved('record-trial', 'behind', 'arm-slot'),
    'is on trial',
  ],
  [
    'notes the image after the arming',
    APPLY,
    '/2.0.bundle',
    moved('record-image', 'behind', 'arm-slot'),
    'no known image',
  ],
  [
    'writes before it disarms',
    OTHER_WAY,
    '/3.0.bundle',
    moved('disarm-slot', 'behind', 'write-image'),
    'which is torn',
  ],
  ['never forgets the old image', OTHER_WAY, '/3.0.bundle', without('forget-image'), 'it holds torn'],
  ['writes to the slot that runs', APPLY, '/2.0.bundle', toTheWrongSlot, 'writes to the slot that runs'],
]

/** To add one, add a line; `npm run power-cut` and `npm test` show that it is found. */
export const BROKEN_ORDERS: readonly BrokenOrder[] = [
  {
    name: 'arms before it flushes',
    phase: withSteps(APPLY, '/2.0.bundle', moved('arm-slot', 'before', 'flush-slot')),
    twist: unflushedWriter,
    finds: 'with torn',
  },
  ...REORDERED.map(([name, phase, bundle, rearrange, finds]) => ({
    name,
    phase: withSteps(phase, bundle, rearrange),
    finds,
  })),
  {
    name: 'boot state: no flush between its copies',
    phase: APPLY,
    twist: unflushed('env0'),
    finds: 'the loader picks',
  },
  { name: 'boot state: in two sectors', phase: APPLY, twist: overTwoSectors, finds: 'neither old nor new' },
  { name: 'records: over the newest copy', phase: APPLY, twist: overTheNewest, finds: 'were flushed' },
  {
    name: 'records and log: no flush',
    phase: OTHER_WAY,
    twist: unflushed('meta0', 'meta1', 'log'),
    finds: 'it holds torn',
  },
]
