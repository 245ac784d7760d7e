import { type Finding, type RoundReport, shapeOf } from './round.ts'

const MIB = 1024 * 1024

/** All rounds of one target. */
export interface TargetReport {
  readonly target: string
  executions: number
  readonly verdicts: Map<string, number>
  readonly signatures: Set<string>
  readonly grown: Map<string, string>
  slowest: RoundReport['slowest']
  peakBytes: number
  readonly findings: Finding[]
}

export function emptyReport(target: string): TargetReport {
  return {
    ...{
      target,
      executions: 0,
      verdicts: new Map(),
      signatures: new Set(),
      grown: new Map(),
      peakBytes: 0,
      findings: [],
    },
    slowest: { ms: 0, execution: 0 },
  }
}

export function addRound(report: TargetReport, round: RoundReport): void {
  report.executions += round.executions
  for (const [verdict, count] of Object.entries(round.verdicts))
    report.verdicts.set(verdict, (report.verdicts.get(verdict) ?? 0) + count)
  for (const signature of round.signatures) report.signatures.add(signature)
  for (const [signature, input] of Object.entries(round.grown)) {
    const known = report.grown.get(signature)
    if (known === undefined || input.length < known.length) report.grown.set(signature, input)
  }
  if (round.slowest.ms > report.slowest.ms) report.slowest = round.slowest
  report.peakBytes = Math.max(report.peakBytes, round.peakBytes)
  report.findings.push(...round.findings)
}

/** Those that were not found before in another round. */
export function newFindings(report: TargetReport, { findings }: RoundReport): Finding[] {
  const known = new Set(report.findings.map(kindOf))
  return findings.filter((finding) => !known.has(kindOf(finding)))
}

function kindOf({ kind, message }: Finding): string {
  return `${kind} ${shapeOf(message)}`
}

const TOP = 4

export function tableOf(reports: readonly TargetReport[]): string {
  const head = [
    'target',
    'executions',
    'accepted',
    'ways',
    'peak MiB',
    'slowest ms',
    'refused, most often as',
  ]
  const rows = reports.map(({ target, executions, verdicts, signatures, peakBytes, slowest }) => [
    target,
    formatCount(executions),
    formatCount(verdicts.get('accepted') ?? 0),
    formatCount(signatures.size),
    formatCount(Math.round(peakBytes / MIB)),
    slowest.ms.toFixed(1),
    refusals(verdicts),
  ])
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => row[column]?.length ?? 0)))
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => alignedCell(cell, column, widths[column] ?? 0))
      .join('  ')
      .trimEnd()
  return [head, ...rows].map(line).join('\n')
}

function alignedCell(cell: string, column: number, width: number): string {
  return column === 0 || column === 6 ? cell.padEnd(width) : cell.padStart(width)
}

function refusals(verdicts: ReadonlyMap<string, number>): string {
  const sorted = [...verdicts]
    .filter(([verdict]) => verdict !== 'accepted')
    .sort(([, one], [, other]) => other - one)
  return sorted
    .slice(0, TOP)
    .map(([verdict, count]) => `${verdict} ${formatCount(count)}`)
    .join(', ')
}

export function formatCount(count: number): string {
  return count.toLocaleString('en-US')
}

export function findingText({ target, kind, message, seed, execution }: Finding): string {
  return `${kind} in ${target}: ${message}\n  again: npm run fuzz -- --target ${target} --seed ${seed} --execution ${execution}`
}
