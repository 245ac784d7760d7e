import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { contentOf, copyDisk, type Disk, markOf, takeBack, writePieces } from '../disk.ts'
import { type Outcome, outcomesOf } from '../outcomes.ts'
import { type Random, seededRandom, seedFor } from '../random.ts'
import { type Cut, cutsOf } from '../recording.ts'
import { emptyTally, type Tally } from '../tally.ts'
import type { Started } from './initramfs.ts'
import type { Lab } from './lab.ts'
import type { StatePhase } from './phases.ts'

export interface StateExploration {
  readonly lab: Lab
  readonly phase: StatePhase
  readonly seed: number
  /** How many outcomes are started: each is a mounted file system and a run of the scripts. */
  readonly outcomes: number
  /** Folder for disks that are bad: the kernel writes at other moments in each run, so that only they repeat it. */
  readonly keepIn?: string | undefined
  /** Ends at the first that is bad. */
  readonly untilBad?: boolean | undefined
}

const OF_A_CUT = 2

interface Reference {
  readonly started: Started
  /** /etc of the slot that ran before. */
  readonly fallbackEtc: string | undefined
}

/** Starts once, recording every block; then starts again from what cuts of the power would have left. */
export async function exploreState(options: StateExploration): Promise<Tally> {
  const { lab, phase, seed, outcomes } = options
  const content = await contentBefore(lab, phase)
  const reference = await referenceOf(lab, phase, content)
  const { started, recording } = await lab.record(content, phase.start)
  const tally = emptyTally()
  const walk: Walk = { ...options, reference, tally }
  if (started.failure !== undefined)
    tally.bad.push(badOf(walk, { moment: 0, volatile: [] }, undefined, [started.failure]))
  const base = copyDisk(recording.start)
  const left = copyDisk(base)
  const random = seededRandom(seedFor(seed, phase.name, 0))
  for (const cut of cutsOf(recording)) {
    for (const disk of [base, left]) writePieces(disk, cut.settled)
    if (options.untilBad && tally.bad.length > 0) break
    // As many cuts as give the number that was asked for.
    if (!random.chance(outcomes / OF_A_CUT / recording.moments)) continue
    tally.cuts += 1
    await startAfter(walk, { cut, base, left, random })
  }
  return tally
}

async function contentBefore(lab: Lab, { before }: StatePhase): Promise<Buffer> {
  let content = lab.blank()
  for (const { start, edits } of before) {
    const started = await lab.start(content, start, edits)
    if (started.failure !== undefined)
      throw new Error(`it does not start even without a cut: ${started.failure}`)
    content = started.content
  }
  return content
}

async function referenceOf(lab: Lab, { start, fallback }: StatePhase, content: Buffer): Promise<Reference> {
  const started = await lab.start(content, start)
  if (started.failure !== undefined)
    throw new Error(`it does not start even without a cut: ${started.failure}`)
  return { started, fallbackEtc: fallback && (await lab.start(content, fallback)).etc }
}

interface Walk extends StateExploration {
  readonly reference: Reference
  readonly tally: Tally
}

interface Place {
  readonly cut: Cut
  readonly base: Disk
  readonly left: Disk
  readonly random: Random
}

/** Two disks that were not seen before, where there are so many. */
async function startAfter(walk: Walk, { cut, base, left, random }: Place): Promise<void> {
  const { tally } = walk
  const possible = [...outcomesOf(cut.volatile, { limit: 20, random, half: false })]
  const before = tally.outcomes
  while (possible.length > 0 && tally.outcomes < before + OF_A_CUT) {
    const [outcome] = possible.splice(random.below(possible.length), 1)
    if (outcome === undefined) return
    writePieces(left, outcome.pieces)
    if (!tally.states.has(markOf(left))) await startWith(walk, { cut, left, random, outcome })
    takeBack(left, outcome.pieces, base)
  }
}

async function startWith(
  walk: Walk,
  { cut, left, random, outcome }: Omit<Place, 'base'> & { outcome: Outcome },
): Promise<void> {
  const { tally } = walk
  const mark = markOf(left)
  tally.states.add(mark)
  tally.followed.add(mark)
  tally.outcomes += 1
  tally.kinds[outcome.kind] += 1
  const problems = await problemsOf(walk, left, random)
  if (problems.length === 0) return
  tally.bad.push(badOf(walk, cut, outcome, [...problems, ...keep(walk, left)]))
}

/** The next start must come to the same as one without a cut; now and then the slot that ran before is started first. */
async function problemsOf({ lab, phase, reference }: Walk, disk: Disk, random: Random): Promise<string[]> {
  const problems: string[] = []
  let content = contentOf(disk, 'state')
  if (phase.fallback !== undefined && random.chance(0.5)) {
    const fallback = await lab.start(content, phase.fallback)
    content = fallback.content
    if (fallback.failure !== undefined) problems.push(`the slot before does not start: ${fallback.failure}`)
    else if (fallback.etc !== reference.fallbackEtc)
      problems.push('the slot before has another /etc than before')
  }
  const { failure, state, etc } = await lab.start(content, phase.start)
  if (failure !== undefined) return [...problems, `the next start fails: ${failure}`]
  if (etc !== reference.started.etc) problems.push('/etc differs from what it is without a cut')
  if (state !== reference.started.state)
    problems.push('the state partition differs from what it is without a cut')
  return problems
}

function badOf(
  { phase }: Walk,
  { moment, volatile }: Cut | Pick<Cut, 'moment' | 'volatile'>,
  outcome: Outcome | undefined,
  problems: string[],
) {
  const place = ({ offset, bytes }: { offset: number; bytes: Uint8Array }) =>
    `${bytes.length} bytes at ${offset}`
  return {
    ...({ phase: phase.name, cuts: [moment], kind: outcome?.kind ?? 'everything', problems } as const),
    volatile: volatile.map(place),
    kept: (outcome?.pieces ?? []).map(place),
  }
}

function keep({ keepIn }: Walk, disk: Disk): string[] {
  if (keepIn === undefined) return []
  const path = join(keepIn, `pine-power-cut-${markOf(disk)}.img`)
  writeFileSync(path, contentOf(disk, 'state'))
  return [`the state partition is kept as ${path}`]
}
