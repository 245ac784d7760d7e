import type { JobResult } from './jobs.ts'
import { OUTCOME_KINDS } from './outcomes.ts'
import type { Bad } from './tally.ts'

/** The parts of one phase, added up. */
export interface Row {
  readonly name: string
  readonly cuts: number
  readonly outcomes: number
  /** Different disks among the outcomes. */
  readonly disks: number
  readonly followed: number
  readonly bad: number
}

function sum(results: readonly JobResult[], of: (result: JobResult) => number): number {
  return results.reduce((total, result) => total + of(result), 0)
}

export function rowOf(name: string, results: readonly JobResult[]): Row {
  return {
    name,
    cuts: sum(results, ({ cuts }) => cuts),
    outcomes: sum(results, ({ outcomes }) => outcomes),
    disks: new Set(results.flatMap(({ states }) => states)).size,
    followed: sum(results, ({ followed }) => followed),
    bad: sum(results, ({ bad }) => bad),
  }
}

const HEADINGS = ['cuts', 'outcomes', 'disks', 'followed', 'bad'] as const

export function headingLine(width: number): string {
  return ['phase'.padEnd(width), ...HEADINGS.map((heading) => heading.padStart(9))].join(' ')
}

export function rowLine(row: Row, width: number): string {
  return [row.name.padEnd(width), ...HEADINGS.map((heading) => String(row[heading]).padStart(9))].join(' ')
}

export function brokenLine(row: Row, width: number): string {
  const found = row.bad > 0 ? `found: ${row.bad} of ${row.outcomes} outcomes are bad` : 'NOT FOUND'
  return `${row.name.padEnd(width)} broken on purpose, ${found}`
}

/** What was looked at, in how many ways; `half` is counted apart since no disk has to be as bad. */
export function summaryLines(
  results: readonly JobResult[],
  run: { seed: string; seconds: number },
): string[] {
  const { cuts, disks, followed } = rowOf('', results)
  const kinds = OUTCOME_KINDS.map((kind) => `${kind} ${sum(results, (result) => result.kinds[kind])}`)
  return [
    `${cuts} cuts, ${disks} different disks, ${followed} followed to their end, ${run.seconds} s, seed ${run.seed}`,
    `by kind: ${kinds.join(', ')} (a sector torn in its middle: more than disks do)`,
  ]
}

const MAX_LINES = 12

export function describeBad({ phase, cuts, kind, problems, volatile, kept }: Bad): string {
  const list = (title: string, lines: readonly string[]) =>
    lines.length === 0 ? [] : [`    ${title}`, ...lines.slice(0, MAX_LINES).map((line) => `      ${line}`)]
  return [
    `  ${phase}, cut at ${cuts.join(', then at ') || 'no moment'}: ${kind}`,
    ...problems.map((problem) => `    ${problem}`),
    ...list('written and not flushed:', volatile),
    ...list('of it on the disk:', kept),
  ].join('\n')
}
