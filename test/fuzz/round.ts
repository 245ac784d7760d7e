import { PineError } from '../../src/core/error.ts'
import type { MemoryGauge } from './memory.ts'
import { type Random, seededRandom } from './random.ts'
import { type Outcome, type Target, WrongAnswer } from './target.ts'

const MOST_MS = 2000

export interface Finding {
  readonly target: string
  /** `error`: not a documented one. `wrong`: accepted what it must not accept. `crash`: the process died. */
  readonly kind: 'error' | 'wrong' | 'slow' | 'hang' | 'memory' | 'leak' | 'crash'
  readonly message: string
  /** Base64. */
  readonly input: string
  readonly seed: number
  readonly execution: number
}

export interface RoundReport {
  executions: number
  /** How often each verdict was given. */
  verdicts: Record<string, number>
  /** Each way in which inputs were accepted or refused. */
  signatures: string[]
  /** The shortest input of each, where it was asked for. */
  grown: Record<string, string>
  slowest: { ms: number; execution: number }
  peakBytes: number
  findings: Finding[]
}

export interface RoundOptions {
  readonly seed: number
  /** Number of the first execution. */
  readonly first: number
  readonly executions: number
  /** Beside the seeds of the target. */
  readonly known: readonly Buffer[]
  readonly gauge: MemoryGauge
  readonly slowMs?: number
  /** These inputs as they are, instead of others that are made from them. */
  readonly replay?: readonly Buffer[]
  /** Without it every input is made from a seed. */
  readonly feedback?: boolean
  readonly grow?: boolean
  readonly beforeEach?: (execution: number, input: Buffer) => void
}

interface Round {
  readonly target: Target
  readonly options: RoundOptions
  readonly report: RoundReport
  /** Seeds, corpus, and what was kept since. */
  readonly inputs: Buffer[]
  /** Those of them that are accepted, as far as that is known. */
  readonly good: Buffer[]
  readonly signatures: Set<string>
  readonly found: Set<string>
}

const MOST_KEPT = 2000
const RECENT = 32
const MOST_GROWN_BYTES = 1024
/** Longer ones take too long to change; they are only run as they are. */
const MOST_BYTES = 65_536
const MOST_FINDINGS = 10

/**
 * Executions one after another, each made from a seed, or from an input that came out in a way that was new in this round:
 * another code or message, numbers aside, or another shape of what was decoded. So what passes the first check is changed
 * again, and some of that passes the second. A round starts from nothing but seed, target and corpus, so that it is the same
 * each time, whatever ran before it.
 */
export async function runRound(target: Target, options: RoundOptions): Promise<RoundReport> {
  const report: RoundReport = {
    ...{ executions: 0, verdicts: {}, signatures: [], grown: {}, findings: [] },
    slowest: { ms: 0, execution: options.first },
    peakBytes: 0,
  }
  const inputs = [...target.seeds, ...options.known.filter(({ length }) => length <= MOST_BYTES)]
  const good = [...target.seeds]
  const round: Round = { target, options, report, inputs, good, signatures: new Set(), found: new Set() }
  for (let index = 0; index < options.executions; index++) {
    const execution = options.first + index
    const input =
      options.replay?.[index] ?? nextInput(round, seededRandom(target.name, options.seed, execution))
    options.beforeEach?.(execution, input)
    const waiting = execute(round, execution, input)
    if (waiting !== undefined) await waiting
    if (!options.gauge.peakProblem()) continue
    add(round, 'memory', { message: options.gauge.peakProblem() ?? '', input, execution })
    break
  }
  report.signatures = [...round.signatures]
  report.peakBytes = options.gauge.peakBytes()
  const leak = await options.gauge.leakProblem()
  if (leak !== undefined)
    add(round, 'leak', { message: leak, input: Buffer.alloc(0), execution: options.first })
  return report
}

/** Twice of three times from one that was accepted: of what is refused most is refused again, by the same check. */
function nextInput({ target, inputs, good }: Round, random: Random): Buffer {
  const from = random.once(3) ? inputs : good
  const recent = from.slice(-RECENT)
  return target.mutate(random.pick(random.once(2) ? recent : from), random, random.pick(inputs))
}

/** Synchronous where the target is: most are, and a promise takes longer than they do. */
function execute(round: Round, execution: number, input: Buffer): Promise<void> | undefined {
  const start = performance.now()
  const end = (outcome: Outcome | undefined): void | Promise<void> => {
    const ms = performance.now() - start
    round.report.executions++
    if (outcome !== undefined) note(round, outcome, input)
    if (ms > round.report.slowest.ms) round.report.slowest = { ms, execution }
    if (ms > mostMs(round)) return confirmSlow(round, execution, input)
  }
  const failed = (error: unknown): void | Promise<void> => end(outcomeOf(round, error, { execution, input }))
  try {
    const running = round.target.run(input)
    if (running instanceof Promise) return running.then(end, failed)
    return end(running) ?? undefined
  } catch (error) {
    return failed(error) ?? undefined
  }
}

function mostMs({ target, options }: Round): number {
  return options.slowMs ?? target.mostMs ?? MOST_MS
}

/** Twice: a machine that does something else for two seconds is no finding. */
async function confirmSlow(round: Round, execution: number, input: Buffer): Promise<void> {
  const start = performance.now()
  await Promise.resolve()
    .then(() => round.target.run(input))
    .catch(() => undefined)
  const ms = performance.now() - start
  if (ms > mostMs(round)) add(round, 'slow', { message: `took ${Math.round(ms)} ms`, input, execution })
}

interface What {
  readonly message: string
  readonly input: Buffer
  readonly execution: number
}

/** Undefined for a finding. */
function outcomeOf(
  round: Round,
  error: unknown,
  { execution, input }: Omit<What, 'message'>,
): Outcome | undefined {
  if (error instanceof PineError && round.target.codes.includes(error.code))
    return { verdict: error.code, shape: round.target.echoes ? '' : shapeOf(error.message) }
  const kind = error instanceof WrongAnswer ? 'wrong' : 'error'
  add(round, kind, { message: describe(error), input, execution })
  return undefined
}

function describe(error: unknown): string {
  if (error instanceof PineError) return `${error.code} is not documented here: ${error.message}`
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}

/** A message without what is different in each: numbers, quoted words, and all but the first two of a list. */
export function shapeOf(message: string): string {
  const [line = ''] = message.slice(0, 400).split('\n')
  const parts = line.split('; ').slice(0, 2).join('; ')
  return parts
    .replace(/"[\s\S]*"|"[\s\S]*$/, '""')
    .replace(/\S+/g, (word) => (/^[A-Za-z]?[a-z]*[,;:]?$/.test(word) ? word : '#'))
    .slice(0, 160)
}

function note(
  { report, signatures, inputs, good, options }: Round,
  { verdict, shape }: Outcome,
  input: Buffer,
): void {
  report.verdicts[verdict] = (report.verdicts[verdict] ?? 0) + 1
  const signature = `${verdict} ${shape}`
  const isNew = !signatures.has(signature)
  if (isNew) signatures.add(signature)
  if (isNew && options.feedback !== false && inputs.length < MOST_KEPT) {
    inputs.push(input)
    if (verdict === 'accepted') good.push(input)
  }
  if (options.grow && input.length <= MOST_GROWN_BYTES) grow(report, signature, input)
}

function grow({ grown }: RoundReport, signature: string, input: Buffer): void {
  const known = grown[signature]
  // Base64 takes four characters for three bytes.
  if (known === undefined || input.length * 4 < known.length * 3) grown[signature] = input.toString('base64')
}

/** Each kind of failure once. */
function add({ report, found, target, options }: Round, kind: Finding['kind'], what: What): void {
  const signature = `${kind} ${shapeOf(what.message)}`
  if (found.has(signature) || found.size >= MOST_FINDINGS) return
  found.add(signature)
  const { message, input, execution } = what
  report.findings.push({
    ...{ target: target.name, kind, message, execution, seed: options.seed },
    input: input.toString('base64'),
  })
}
