import { writeFileSync, writeSync } from 'node:fs'
import { BROKEN } from './broken.ts'
import { knownInputs } from './corpus.ts'
import { openGauge } from './memory.ts'
import { type RoundReport, runRound } from './round.ts'
import type { TargetEntry } from './target.ts'
import { TARGETS } from './targets.ts'

/** Some rounds of one target, for one process. */
export interface Job {
  readonly target: string
  readonly seed: number
  readonly rounds: readonly { readonly first: number; readonly executions: number }[]
  readonly grow: boolean
  /** A file that gets the number and the input of each execution before it begins: what the process dies of is in it. */
  readonly trace?: string
}

/** A line of output. Without one for long, the process hangs. */
export type Said = { readonly at: number } | { readonly round: RoundReport } | { readonly done: true }

const ALIVE_EVERY_MS = 500

export function entryOf(name: string): TargetEntry {
  const entry = [...TARGETS, ...BROKEN].find((known) => known.name === name)
  if (entry === undefined)
    throw new Error(`there is no target ${name}: ${TARGETS.map((known) => known.name).join(' ')}`)
  return entry
}

export async function work({ target: name, seed, rounds, grow, trace }: Job): Promise<void> {
  const target = await entryOf(name).open()
  const known = knownInputs(name)
  const gauge = await openGauge(target)
  let said = performance.now()
  const beforeEach = (execution: number, input: Buffer): void => {
    if (trace !== undefined)
      writeFileSync(trace, JSON.stringify({ execution, input: input.toString('base64') }))
    if (performance.now() - said < ALIVE_EVERY_MS) return
    said = performance.now()
    say({ at: execution })
  }
  for (const round of rounds) {
    const report = await runRound(target, { ...round, seed, known, gauge, grow, beforeEach })
    say({ round: report })
    // The kernel keeps the highest for ever: nothing that comes after could be measured.
    if (report.findings.some(({ kind }) => kind === 'memory')) break
  }
  target.close?.()
  say({ done: true })
}

/** At once: whatever happens next, it has been said. */
function say(said: Said): void {
  const bytes = Buffer.from(`${JSON.stringify(said)}\n`)
  for (let at = 0; at < bytes.length; ) at += writeSync(1, bytes, at)
}
