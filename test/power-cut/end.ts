import { statusOf } from '../../src/agent/status.ts'
import { parseSettings } from '../../src/model/settings.ts'
import { observe, withMachine } from '../../src/run/machine.ts'
import type { Server } from './server.ts'

/** What a server has come to, without what differs from run to run: times, sequences, which slot it happens to be. */
export interface End {
  readonly runs: string | null
  readonly other: string | null
  readonly conditions: readonly string[]
  readonly trial: string | null
  readonly nextBootRuns: boolean
  readonly rejected: readonly string[]
  readonly floors: readonly unknown[]
}

const SETTINGS = parseSettings([])

export async function endOf(server: Server): Promise<End> {
  return withMachine(server.host, { disk: undefined, writable: false }, async (machine) => {
    const facts = await observe(machine)
    const status = statusOf(facts, SETTINGS)
    const { records } = facts
    const running = status.slots.find(({ booted }) => booted)
    const other = status.slots.find(({ booted }) => !booted)
    return {
      runs: running?.image?.version ?? null,
      other: other?.image?.version ?? null,
      conditions: [running, other].map((slot) => `${slot?.condition}, ${slot?.triesLeft} left`),
      trial: records.trial?.version ?? null,
      nextBootRuns: status.nextBoot === running?.slot,
      rejected: records.rejected.map(({ version }) => version),
      floors: [records.epochFloor, records.versionFloor, records.timeFloor, records.keys?.version],
    }
  })
}
