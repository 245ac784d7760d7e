import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { preferNativeHashing } from '../../src/host/native.ts'
import { openWorkshop } from '../support/cli.ts'
import { BROKEN_ORDERS } from './broken.ts'
import type { Budget } from './explore.ts'
import { fillFixture } from './fixture.ts'
import { type Job, type JobResult, openJobs } from './jobs.ts'
import { PHASES } from './phases.ts'
import { brokenLine, describeBad, headingLine, rowLine, rowOf, summaryLines } from './report.ts'
import { BROKEN_SCRIPTS } from './state/broken-scripts.ts'
import { whyNoLab } from './state/lab.ts'
import { STATE_PHASES } from './state/phases.ts'
import { runJobs } from './workers.ts'

// Cuts the power at every moment of an update's life and looks at what is left: npm run power-cut

const { values: options } = parseArgs({
  options: {
    /** Chooses what is looked at where not everything is. */
    seed: { type: 'string', default: '1' },
    /** At most about so many outcomes for each moment of a cut. */
    outcomes: { type: 'string', default: '60' },
    /** Only what has this in its name. */
    phase: { type: 'string', default: '' },
    /** A process of the run: the folder with what it works on. */
    worker: { type: 'string', default: '' },
  },
})

/** So that the last phase does not keep one core waiting for another. */
const SHARES = 4
/** For each start from the state partition: the real scripts run. */
const STARTS = 200
const BROKEN_STARTS = 60

function wholeNumber(name: 'seed' | 'outcomes'): number {
  const value = Number(options[name])
  if (Number.isSafeInteger(value) && value >= 0) return value
  throw new Error(`--${name} takes a whole number, not ${options[name]}`)
}

function jobsOfRun(): Job[] {
  const seed = wholeNumber('seed')
  const full: Budget = {
    outcomes: wholeNumber('outcomes'),
    follow: 0.1,
    followEnds: 1,
    cutAgain: 0.75,
    half: true,
  }
  const brief: Budget = { outcomes: 30, follow: 0, followEnds: 0, cutAgain: 0, half: true }
  const jobs = (
    kind: Job['kind'],
    named: readonly { name: string }[],
    budget: Budget,
    shares: number,
  ): Job[] =>
    named
      .filter(({ name }) => name.includes(options.phase))
      .flatMap(({ name }) =>
        Array.from({ length: shares }, (_, share) => ({ kind, name, seed, budget, share, shares })),
      )
  const hasLab = whyNoLab() === undefined
  return [
    ...(hasLab ? jobs('state', STATE_PHASES, { ...brief, outcomes: STARTS }, 1) : []),
    ...jobs('phase', PHASES, full, SHARES),
    ...(hasLab ? jobs('broken state', BROKEN_SCRIPTS, { ...brief, outcomes: BROKEN_STARTS }, 1) : []),
    ...jobs('broken', BROKEN_ORDERS, brief, 1),
  ]
}

async function run(): Promise<void> {
  const start = performance.now()
  const shop = openWorkshop()
  process.once('exit', shop.close)
  try {
    await fillFixture(shop)
    const jobs = jobsOfRun()
    const width = Math.max(...jobs.map(({ name }) => name.length))
    console.log(headingLine(width))
    const program = process.argv[1] ?? ''
    const processes = availableParallelism()
    const done: JobResult[] = []
    await runJobs(jobs, { program, args: ['--worker', shop.dir], processes }, (result) => {
      done.push(result)
      report(jobs, done, { last: result.job, width })
    })
    const seconds = Math.round((performance.now() - start) / 1000)
    process.exitCode = finish(done, seconds)
  } finally {
    shop.close()
  }
}

function settings(): string {
  return `--seed ${options.seed} --outcomes ${options.outcomes}`
}

/** A line for each phase, once all its parts are done. */
function report(
  jobs: readonly Job[],
  done: readonly JobResult[],
  { last, width }: { last: Job; width: number },
): void {
  const isSame = (job: Job) => job.kind === last.kind && job.name === last.name
  const results = done.filter(({ job }) => isSame(job))
  if (results.length < jobs.filter(isSame).length) return
  const row = rowOf(last.name, results)
  console.log(last.kind.startsWith('broken') ? brokenLine(row, width) : rowLine(row, width))
  if (last.kind.startsWith('broken')) return
  for (const bad of results.flatMap(({ examples }) => examples)) console.log(describeBad(bad))
  if (row.bad > 0) console.log(`  again: npm run power-cut -- ${settings()} --phase '${row.name}'`)
}

function finish(done: readonly JobResult[], seconds: number): number {
  const isBroken = ({ job }: JobResult) => job.kind.startsWith('broken')
  const ours = done.filter((result) => !isBroken(result))
  const missed = done.filter((result) => isBroken(result) && result.bad === 0)
  const noLab = whyNoLab()
  if (noLab !== undefined) console.log(`skipped: the state partition, since ${noLab}`)
  const total = rowOf('all', ours)
  for (const line of summaryLines(ours, { seed: options.seed, seconds })) console.log(line)
  if (missed.length > 0) console.log(`NOT FOUND: ${missed.map(({ job }) => job.name).join(', ')}`)
  console.log(`${total.outcomes} outcomes, ${total.bad} bad`)
  return total.bad > 0 || missed.length > 0 ? 1 : 0
}

function work(folder: string): void {
  preferNativeHashing()
  const runJob = openJobs(folder)
  process.on('message', (job: Job) => {
    void runJob(job).then(
      (result) => process.send?.(result),
      (error) => {
        console.error(job.name, error)
        process.exit(1)
      },
    )
  })
}

// Ends by itself, so that nothing is left behind.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))
if (options.worker === '') void run()
else work(options.worker)
