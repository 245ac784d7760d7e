import { PineError } from '../core/error.ts'
import { type Machine, readRecords, seenByLoader, takeoverOf } from '../run/machine.ts'
import { type History, readHistory } from './history.ts'
import type { Seen } from './status.ts'

/** What can be seen of a machine, and what cannot, or is not as it should be. */
export interface Look {
  seen: Seen
  history: History
  problems: PineError[]
}

/** Looks at each part of a machine for itself: what cannot be read hides nothing else. Writes nothing, takes no lock. */
export async function lookAt(machine: Machine): Promise<Look> {
  const { disk, bootstate, loader } = machine
  const problems: PineError[] = []
  const unless = async <T>(looking: Promise<T>): Promise<T | undefined> =>
    looking.catch((error: unknown) => {
      if (!(error instanceof PineError)) throw error
      problems.push(error)
      return undefined
    })
  const history = await unless(readHistory(machine))
  const boot = await unless(loader.read(bootstate))
  const bootNext = boot === undefined ? undefined : await unless(loader.readAsLoader(bootstate))
  const records = await unless(readRecords(machine))
  if (boot !== undefined && bootNext !== undefined && bootNext.sequence < boot.sequence) {
    problems.push(lostWrite(disk.path, bootNext.sequence, boot.sequence))
  }
  const { path, live } = disk
  const takeover = (await unless(takeoverOf(machine))) ?? null
  const seen = { disk: path, live, boot, bootNext, records, ...seenByLoader(disk, boot), takeover }
  return { seen, history: history ?? { lines: [], runs: [], atWork: null }, problems }
}

function lostWrite(path: string, found: number, written: number): PineError {
  return new PineError(
    'BOOT_STATE_INVALID',
    `the copy of the boot state that the loader reads on ${path} has sequence ${found}, expected ${written}`,
    {
      hint: 'the disk lost a write: look at dmesg and smartctl; "confirm" or "rollback" writes both copies again',
    },
  )
}
