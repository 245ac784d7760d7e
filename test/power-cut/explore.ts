import { AREA } from '../../src/boot/bootstate-area.ts'
import { observe, withMachine } from '../../src/run/machine.ts'
import { liesOf, problemsOf, problemsOfState, type SeenStates, sequencesOf, statesIn } from './check.ts'
import { describePiece } from './describe.ts'
import { copyDisk, copyOver, type Disk, markOf, type Piece, takeBack, writePieces } from './disk.ts'
import { type End, endOf } from './end.ts'
import type { Fixture } from './fixture.ts'
import { type OutcomeKind, outcomesOf } from './outcomes.ts'
import type { Phase } from './phases.ts'
import { type Random, seededRandom, seedFor } from './random.ts'
import { type Cut, cutsOf, type Recording } from './recording.ts'
import { type Server, startServer } from './server.ts'
import { type Bad, emptyTally, type Tally } from './tally.ts'
import type { Twist } from './twists.ts'

/** How much of what is possible is looked at. */
export interface Budget {
  /** Outcomes for each cut, at most about. */
  readonly outcomes: number
  /** How probably an outcome is followed to its end: started, and the command given again. */
  readonly follow: number
  /** The same for the two ends of a cut: what is certainly there, and all that was written. */
  readonly followEnds: number
  /** How probably the power goes again while one is followed. */
  readonly cutAgain: number
  /** Also tears single sectors. */
  readonly half: boolean
}

/** For a second cut: there are many of them, so each is looked at less closely. */
function lessOf({ outcomes, follow }: Budget): Omit<Budget, 'half'> {
  return { outcomes: Math.ceil(outcomes / 2), follow: follow / 20, followEnds: follow / 2, cutAgain: 0 }
}

export interface Exploration {
  readonly fixture: Fixture
  readonly phase: Phase
  readonly seed: number
  readonly budget: Budget
  /** Only these cuts, for work that is shared. */
  readonly isMine?: ((moment: number) => boolean) | undefined
  readonly twist?: Twist | undefined
}

/** Plays the phase once, then cuts the power at each of its moments and looks at what may be left. */
export async function explore(options: Exploration): Promise<Tally> {
  const { recording, reference, problems } = await play(options)
  const tally = emptyTally()
  if (problems.length > 0) tally.bad.push(badWithoutCut(options.phase, problems))
  await cutEverywhere({ ...options, recording, reference, tally, spare: [], cuts: [] })
  return tally
}

interface Played {
  readonly recording: Recording
  /** How it ends without a cut. */
  readonly reference: End
}

async function play({
  fixture,
  phase,
  twist,
}: Exploration): Promise<Played & { problems: readonly string[] }> {
  const server = startServer({ fixture, disk: copyDisk(fixture.disk), twist })
  await phase.before(server)
  server.behave(phase.behaviour ?? {})
  const recording = server.record()
  await phase.action(server)
  server.stopRecording()
  await server.live()
  return { recording, reference: await endOf(server), problems: server.problems }
}

function badWithoutCut(phase: Phase, problems: readonly string[]): Bad {
  return { phase: phase.name, cuts: [], kind: 'everything', problems, volatile: [], kept: [] }
}

interface Walk extends Exploration, Played {
  readonly tally: Tally
  /** Disks that nobody uses: making one takes longer than what is done with it. */
  readonly spare: Disk[]
  /** Earlier cuts that led here. */
  readonly cuts: readonly number[]
}

async function cutEverywhere(walk: Walk): Promise<void> {
  const { recording, tally, isMine, cuts } = walk
  const base = copyDisk(recording.start)
  const left = copyDisk(base)
  const states = statesIn(recording)
  for (const cut of cutsOf(recording)) {
    for (const disk of [base, left]) writePieces(disk, cut.settled)
    if (isMine?.(cut.moment) === false) continue
    tally.cuts += 1
    const random = seededRandom(seedFor(walk.seed, [walk.phase.name, ...cuts].join(), cut.moment))
    await lookAtCut({ ...walk, isMine: undefined }, { cut, base, left, random, states })
  }
}

interface Place {
  readonly cut: Cut
  /** What is certainly there. */
  readonly base: Disk
  /** The same, for one outcome after the other. */
  readonly left: Disk
  readonly random: Random
  readonly states: SeenStates
}

async function lookAtCut(walk: Walk, place: Place): Promise<void> {
  const { budget, tally } = walk
  const { cut, base, left, random, states } = place
  const least = sequencesOf(base)
  const seen = new Set<string>()
  const options = { limit: budget.outcomes, random, half: budget.half }
  for (const { kind, pieces } of outcomesOf(cut.volatile, options)) {
    writePieces(left, pieces)
    const mark = markOf(left)
    if (!seen.has(mark)) {
      seen.add(mark)
      const problems = problemsOfState(left, { states, least, isSectorTorn: kind === 'half' })
      problems.push(...(await problemsOfOutcome(walk, place, { kind, mark })))
      if (problems.length > 0) tally.bad.push(badOf(walk, cut, { kind, pieces, problems }))
    }
    takeBack(left, pieces, base)
  }
}

/** A disk that was there before, whatever led to it, is as good as it was. */
async function problemsOfOutcome(
  walk: Walk,
  { cut, left, random }: Place,
  { kind, mark }: { kind: OutcomeKind; mark: string },
): Promise<string[]> {
  const { phase, fixture, budget, tally } = walk
  tally.outcomes += 1
  tally.kinds[kind] += 1
  const isNew = !tally.states.has(mark)
  tally.states.add(mark)
  const expected = {
    fixture,
    boots: phase.boots,
    areAllGood: phase.behaviour === undefined,
    isLogTouched: cut.volatile.some(isInLog),
  }
  const problems = isNew ? await problemsOf(left, expected) : []
  const isChosen = random.chance(isEnd(kind) ? budget.followEnds : budget.follow)
  if (!isChosen || problems.length > 0 || tally.followed.has(mark)) return problems
  tally.followed.add(mark)
  return followOutcome(walk, { moment: cut.moment, left, random, half: budget.half && kind !== 'half' })
}

function isInLog({ role, offset }: Piece): boolean {
  return role === 'bootstate' && offset >= AREA.log.offset
}

function isEnd(kind: OutcomeKind): boolean {
  return kind === 'nothing' || kind === 'everything'
}

function badOf(
  { phase, cuts }: Walk,
  { moment, volatile }: Cut,
  { kind, pieces, problems }: { kind: OutcomeKind; pieces: readonly Piece[]; problems: string[] },
): Bad {
  return {
    phase: phase.name,
    cuts: [...cuts, moment],
    kind,
    problems,
    volatile: volatile.map(describePiece),
    kept: pieces.map(describePiece),
  }
}

interface Followed {
  readonly moment: number
  /** The second cut may tear a sector: not where the first did, since two halves may look like a whole. */
  readonly half: boolean
  readonly left: Disk
  readonly random: Random
}

/** Starts a copy of what is left and does what is done then; now and then the power goes again meanwhile. */
async function followOutcome(walk: Walk, { moment, left, random, half }: Followed): Promise<string[]> {
  const { fixture, phase, budget, cuts, twist, spare } = walk
  const disk = spare.pop() ?? copyDisk(left)
  copyOver(left, disk)
  const server = startServer({ fixture, disk, behaviour: phase.behaviour, twist })
  const recording = random.chance(budget.cutAgain) ? server.record() : undefined
  const problems = await recover(server, walk)
  spare.push(disk)
  if (recording === undefined || problems.length > 0) return problems
  await cutEverywhere({ ...walk, recording, budget: { ...lessOf(budget), half }, cuts: [...cuts, moment] })
  return problems
}

const RUNNING = { disk: undefined, writable: false }

async function recover(server: Server, { fixture, phase, reference }: Walk): Promise<string[]> {
  try {
    await server.live()
    if (!isReached(phase, await endOf(server), reference)) {
      await (phase.again ?? phase.action)(server)
      await server.live()
    }
    const end = await endOf(server)
    const lies = await withMachine(server.host, RUNNING, async (machine) =>
      liesOf(await observe(machine), { fixture, disk: server.disk }),
    )
    const wrong = server.started.filter((version) => !phase.boots.includes(version))
    return [
      ...server.problems,
      ...lies,
      ...wrong.map((version) => `starts ${version} on the way, expected ${phase.boots.join(' or ')}`),
      ...(isReached(phase, end, reference)
        ? []
        : [`ends as ${JSON.stringify(end)}, expected ${JSON.stringify(reference)}`]),
    ]
  } catch (error) {
    return [...server.problems, `does not recover: ${String(error)}`]
  }
}

function isReached({ reached }: Phase, end: End, reference: End): boolean {
  return reached?.(end) ?? JSON.stringify(end) === JSON.stringify(reference)
}
