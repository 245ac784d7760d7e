import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { distFolder } from '../../src/host/assets.ts'
import { BROKEN_ORDERS } from './broken.ts'
import { type Budget, explore } from './explore.ts'
import { type Fixture, loadFixture } from './fixture.ts'
import type { OutcomeKind } from './outcomes.ts'
import { PHASES } from './phases.ts'
import { BROKEN_SCRIPTS, breakScripts } from './state/broken-scripts.ts'
import { exploreState } from './state/explore-state.ts'
import { openLab } from './state/lab.ts'
import { STATE_PHASES, type StatePhase } from './state/phases.ts'
import type { Bad, Tally } from './tally.ts'

/** A part of a run that a process does alone. */
export interface Job {
  /** The product, or the product broken on purpose. */
  readonly kind: 'phase' | 'broken' | 'state' | 'broken state'
  readonly name: string
  readonly seed: number
  readonly budget: Budget
  /** Of `shares` parts of the cuts this one. */
  readonly share: number
  readonly shares: number
}

/** A tally that can be sent from one process to another. */
export interface JobResult {
  readonly job: Job
  readonly cuts: number
  readonly outcomes: number
  readonly kinds: Record<OutcomeKind, number>
  readonly states: readonly string[]
  readonly followed: number
  readonly bad: number
  /** The first of them. */
  readonly examples: readonly Bad[]
}

const EXAMPLES = 3

/** `folder` holds what `fillFixture` made. */
export function openJobs(folder: string): (job: Job) => Promise<JobResult> {
  let fixture: Fixture | undefined
  const readFixture = (): Fixture => {
    fixture ??= loadFixture(folder)
    return fixture
  }
  return async (job) => resultOf(job, await exploreJob(job, readFixture))
}

async function exploreJob(job: Job, fixture: () => Fixture): Promise<Tally> {
  const { name, kind, seed, budget, share, shares } = job
  const isMine = (moment: number): boolean => moment % shares === share
  switch (kind) {
    case 'phase':
      return explore({ fixture: fixture(), phase: named(PHASES, name), seed, budget, isMine })
    case 'broken': {
      const { phase, twist } = named(BROKEN_ORDERS, name)
      return explore({ fixture: fixture(), phase, twist, seed, budget, isMine })
    }
    case 'state':
      return inLab(job, named(STATE_PHASES, name), join(distFolder(), 'system'))
    case 'broken state':
      return inBrokenLab(job)
  }
}

async function inBrokenLab(job: Job): Promise<Tally> {
  const broken = named(BROKEN_SCRIPTS, job.name)
  const folder = mkdtempSync(join(tmpdir(), 'pine-broken-'))
  try {
    breakScripts(join(distFolder(), 'system'), folder, broken)
    return await inLab(job, broken.phase, folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function inLab({ kind, seed, share, budget }: Job, phase: StatePhase, system: string): Promise<Tally> {
  const lab = openLab(system)
  try {
    const [outcomes, isBroken] = [budget.outcomes, kind === 'broken state']
    const keepIn = isBroken ? undefined : tmpdir()
    return await exploreState({ lab, phase, seed: seed + share, outcomes, keepIn, untilBad: isBroken })
  } finally {
    lab.close()
  }
}

function named<T extends { name: string }>(all: readonly T[], name: string): T {
  const one = all.find((known) => known.name === name)
  if (one === undefined) throw new Error(`there is no "${name}"`)
  return one
}

function resultOf(job: Job, { cuts, outcomes, kinds, states, followed, bad }: Tally): JobResult {
  return {
    ...{ job, cuts, outcomes, kinds, states: [...states], followed: followed.size },
    bad: bad.length,
    examples: bad.slice(0, EXAMPLES),
  }
}
