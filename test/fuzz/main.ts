import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { digestOf } from '../../src/core/digest.ts'
import { preferNativeHashing } from '../../src/host/native.ts'
import { addFinding, knownInputs, writeGrown } from './corpus.ts'
import { openGauge } from './memory.ts'
import { PER_ROUND, planJobs } from './plan.ts'
import { runJobs } from './pool.ts'
import {
  addRound,
  emptyReport,
  findingText,
  formatCount,
  newFindings,
  type TargetReport,
  tableOf,
} from './report.ts'
import { runRound } from './round.ts'
import { TARGETS } from './targets.ts'
import { entryOf, work } from './worker.ts'

const USAGE = `npm run fuzz -- [--executions N] [--target NAME] [--seed S] [--workers N] [--grow]
npm run fuzz -- --target NAME --seed S --execution N     runs one of them again and shows it

Changes valid inputs of every decoder and looks at what it does: see test/fuzz/round.ts. Exit 1 where something is found; the
input is then in test/fuzz/corpus/findings. --grow keeps what got further into a decoder in test/fuzz/corpus/grown;
--silence MS is how long a process may say nothing before it counts as hanging.`

const { values } = parseArgs({
  options: {
    executions: { type: 'string', default: '200000' },
    target: { type: 'string' },
    seed: { type: 'string', default: '1' },
    execution: { type: 'string' },
    workers: { type: 'string', default: String(availableParallelism()) },
    silence: { type: 'string' },
    grow: { type: 'boolean', default: false },
    job: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})

async function main(): Promise<0 | 1> {
  if (values.help) console.log(USAGE)
  else if (values.job !== undefined) await work(JSON.parse(values.job))
  else if (values.execution !== undefined) await runOne(Number(values.execution))
  else return await runAll()
  return 0
}

async function runAll(): Promise<0 | 1> {
  const entries = values.target === undefined ? TARGETS : values.target.split(',').map(entryOf)
  const reports = new Map(entries.map(({ name }) => [name, emptyReport(name)]))
  const jobs = planJobs(entries, {
    executions: Number(values.executions),
    seed: Number(values.seed),
    grow: values.grow,
  })
  const start = performance.now()
  await runJobs(jobs, {
    script: process.argv[1] ?? '',
    workers: Number(values.workers),
    ...(values.silence !== undefined && { silenceMs: Number(values.silence) }),
    onRound(target, round) {
      const report = reports.get(target)
      if (report === undefined) return
      const findings = newFindings(report, round)
      for (const finding of findings) console.log(findingText(finding))
      addRound(report, { ...round, findings })
    },
  })
  console.log(tableOf([...reports.values()]))
  return summarize([...reports.values()], performance.now() - start)
}

function summarize(reports: readonly TargetReport[], ms: number): 0 | 1 {
  const findings = reports.flatMap((report) => report.findings)
  for (const { target, kind, input } of findings) {
    const bytes = Buffer.from(input, 'base64')
    addFinding(target, { name: `new-${kind}-${digestOf(bytes).slice(0, 8)}`, input: bytes })
  }
  if (values.grow) for (const report of reports) keepGrown(report)
  const executions = reports.reduce((sum, report) => sum + report.executions, 0)
  console.log(`in ${Math.round(ms / 1000)} s with ${values.workers} processes, seed ${values.seed}`)
  console.log(`${formatCount(executions)} executions, ${formatCount(findings.length)} findings`)
  return findings.length === 0 ? 0 : 1
}

const MOST_GROWN = 40

/** The shortest of each way to come out, in the order of their names, so that the file is the same for the same run. */
function keepGrown({ target, grown }: TargetReport): void {
  const inputs = [...grown.values()].map((input) => Buffer.from(input, 'base64'))
  const kept = inputs.sort((one, other) => one.length - other.length).slice(0, MOST_GROWN)
  const named = kept.map((input) => ({ name: digestOf(input).slice(0, 8), input }))
  writeGrown(
    target,
    named.sort((one, other) => (one.name < other.name ? -1 : 1)),
  )
}

/** All executions of its round before it, then this one. */
async function runOne(execution: number): Promise<void> {
  const entry = entryOf(values.target ?? '')
  const { perRound = PER_ROUND } = entry
  const target = await entry.open()
  const first = execution - (execution % perRound)
  const report = await runRound(target, {
    ...{ first, executions: execution - first + 1, seed: Number(values.seed) },
    ...{ known: knownInputs(entry.name), gauge: await openGauge(target) },
    beforeEach(current, input) {
      if (current === execution)
        console.log(`input, ${input.length} bytes in base64: ${input.toString('base64')}`)
    },
  })
  for (const finding of report.findings.filter((found) => found.execution === execution))
    console.log(findingText(finding))
  console.log(
    report.findings.some((found) => found.execution === execution)
      ? 'found again'
      : 'nothing is wrong with it',
  )
  target.close?.()
}

preferNativeHashing()
main().then(
  (exitCode) => {
    process.exitCode = exitCode
  },
  (error) => {
    console.error(error)
    process.exitCode = 70
  },
)
