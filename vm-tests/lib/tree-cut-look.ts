import { lookAt } from '../../src/agent/look.ts'
import { type SlotStatus, type StatusReport, statusOf } from '../../src/agent/status.ts'
import { verifySlots } from '../../src/agent/verify-slots.ts'
import { realHost } from '../../src/host/real-host.ts'
import type { SlotName } from '../../src/model/boot-state.ts'
import { parseSettings } from '../../src/model/settings.ts'
import { type Machine, withMachine } from '../../src/run/machine.ts'
import type { TreeCutKit, TreeRelease } from './tree-cut-kit.ts'

export interface Expected {
  readonly kit: TreeCutKit
  readonly mayStart: readonly SlotName[]
  /** Slots that were compared before, and to which nothing was written since. */
  readonly known: ReadonlySet<SlotName>
}

/** What a cut left. */
export interface Found {
  readonly starts: SlotName | undefined
  /** Slots that hold what is noted of them, exactly. */
  readonly whole: readonly SlotName[]
  /** How many trees were compared with their commit. */
  readonly compared: number
  readonly problems: readonly string[]
}

const SETTINGS = parseSettings([])
/** What each slot may be noted to hold. */
const HELD: Record<SlotName, readonly TreeRelease[]> = { a: ['r1', 'r3'], b: ['r2'] }
/** What a slot holds when it starts. */
export const STARTED: Record<SlotName, TreeRelease> = { a: 'r3', b: 'r2' }

/** What `status --verify` finds on a disk, and what is wrong with that. Mounts the slots; writes nothing. */
export function lookAtDisk(path: string, expected: Expected): Promise<Found> {
  return withMachine(realHost(), { disk: path, writable: false }, async (machine) => {
    const { seen, problems } = await lookAt(machine)
    const status = statusOf(seen, SETTINGS)
    const compared = await compareSlots(machine, status.slots, expected)
    const starts = status.nextBoot === 'a' || status.nextBoot === 'b' ? status.nextBoot : undefined
    return {
      ...compared,
      starts,
      problems: [
        ...problems.map(({ message }) => message),
        ...problemsOfStart(status, expected),
        ...compared.problems,
      ],
    }
  })
}

function problemsOfStart({ nextBoot, slots }: StatusReport, { kit, mayStart }: Expected): string[] {
  const isAllowed = mayStart.some((slot) => slot === nextBoot)
  const other = slots.filter(
    ({ slot, image }) => slot === nextBoot && image !== null && image.digest !== kit.commits[STARTED[slot]],
  )
  const empty = slots.filter(({ triesLeft, image }) => triesLeft !== 0 && image === null)
  return [
    ...(isAllowed ? [] : [`slot ${nextBoot} starts, expected ${mayStart.join(' or ')}`]),
    ...other.map(({ slot, image }) => `slot ${slot} starts with ${image?.version}`),
    ...empty.map(({ slot }) => `slot ${slot} can start, and nobody knows what it holds`),
  ]
}

async function compareSlots(
  machine: Machine,
  slots: readonly SlotStatus[],
  { kit, known }: Expected,
): Promise<Pick<Found, 'whole' | 'compared' | 'problems'>> {
  const noted = slots.filter(({ image }) => image !== null)
  const other = noted.filter(
    ({ slot, image }) => !HELD[slot].some((release) => kit.commits[release] === image?.digest),
  )
  const unknown = noted.filter(({ slot }) => !known.has(slot))
  const verified = await verifySlots(machine, unknown, () => undefined)
  const torn = verified.slots.filter((slot) => slot.verified !== true)
  return {
    whole: verified.slots.filter((slot) => slot.verified === true).map(({ slot }) => slot),
    compared: unknown.length,
    problems: [
      ...other.map(({ slot, image }) => `slot ${slot} is noted to hold ${image?.version}`),
      ...torn.map(({ slot, image, triesLeft }) => {
        const said = verified.problems.map(({ message }) => message).join('; ')
        return `slot ${slot} is not ${image?.version} and has ${triesLeft} tries: ${said}`
      }),
    ],
  }
}
