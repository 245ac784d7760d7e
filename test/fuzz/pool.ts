import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Finding, RoundReport } from './round.ts'
import type { Job, Said } from './worker.ts'

/** A worker that says nothing for so long hangs; other work on the machine makes it slow, but not silent. */
const SILENCE_MS = 30_000
/** A leak is to meet the cap of the gauge, not that of the engine. */
const NODE_OPTIONS = ['--max-old-space-size=1024', '--expose-gc']

export interface PoolOptions {
  /** This program. */
  readonly script: string
  readonly workers: number
  readonly silenceMs?: number
  readonly onRound: (target: string, round: RoundReport) => void
}

/** Works through the jobs, several at a time, each in a process of its own. */
export async function runJobs(jobs: readonly Job[], options: PoolOptions): Promise<void> {
  const waiting = [...jobs]
  const one = async (): Promise<void> => {
    for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) await runJob(job, options)
  }
  await Promise.all(Array.from({ length: options.workers }, one))
}

/** After a death the round is run again with a trace, and then the rounds behind it. */
async function runJob(job: Job, options: PoolOptions): Promise<void> {
  let done = 0
  const death = await runProcess(job, options, (round) => {
    done += 1
    options.onRound(job.target, round)
  })
  if (death === undefined) return
  const [fatal, ...rest] = job.rounds.slice(done)
  const finding = await traced({ ...job, rounds: fatal === undefined ? [] : [fatal] }, options, death)
  options.onRound(job.target, roundOf(finding))
  if (rest.length > 0) await runJob({ ...job, rounds: rest }, options)
}

async function traced(job: Job, options: PoolOptions, death: string): Promise<Finding> {
  const dir = mkdtempSync(join(tmpdir(), 'pine-fuzz-'))
  try {
    const trace = join(dir, 'trace')
    const again = await runProcess({ ...job, trace }, options, () => undefined)
    const { execution, input } = JSON.parse(readFileSync(trace, 'utf8'))
    const message = again ?? `${death}; not when the same round was run again`
    return { target: job.target, seed: job.seed, kind: kindOf(message), message, execution, input }
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

function kindOf(death: string): Finding['kind'] {
  return death.startsWith('hangs') ? 'hang' : 'crash'
}

function roundOf(finding: Finding): RoundReport {
  return {
    ...{ executions: 1, verdicts: {}, signatures: [], grown: {}, peakBytes: 0, findings: [finding] },
    slowest: { ms: 0, execution: finding.execution },
  }
}

/** Undefined when it came to its end; else how it did not. */
async function runProcess(
  job: Job,
  { script, silenceMs = SILENCE_MS }: PoolOptions,
  onRound: (round: RoundReport) => void,
): Promise<string | undefined> {
  const child = spawn(process.execPath, [...NODE_OPTIONS, script, '--job', JSON.stringify(job)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let [isDone, isSilent, error] = [false, false, '']
  const watch = watchdog(silenceMs, () => {
    isSilent = true
    child.kill('SIGKILL')
  })
  child.stderr.on('data', (text) => {
    error = (error + text).slice(-2000)
  })
  const lines = createInterface({ input: child.stdout })
  lines.on('line', (line) => {
    watch.pet()
    const said: Said = JSON.parse(line)
    if ('round' in said) onRound(said.round)
    isDone ||= 'done' in said
  })
  const how = await ended(child)
  watch.stop()
  if (isSilent) return `hangs: nothing for ${silenceMs} ms`
  return isDone ? undefined : `${how} ${error}`
}

function watchdog(afterMs: number, bark: () => void): { pet(): void; stop(): void } {
  const timer = setTimeout(bark, afterMs)
  return { pet: () => void timer.refresh(), stop: () => clearTimeout(timer) }
}

async function ended(child: ChildProcess): Promise<string> {
  return await new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) =>
      resolve(signal === null ? `ended with ${code} before its end` : `died of ${signal}`),
    )
  })
}
