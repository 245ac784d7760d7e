import { type Figure, isMet } from './acceptance.ts'
import { IMAGE_NAMES, type Step } from './pair.ts'
import { isRow, type Result } from './row.ts'

const STEP_NAMES: Record<Step, string> = {
  update: 'update: old → new',
  hotfix: 'hotfix: old → old with a new openssl',
  rebuilt: 'rebuilt: old → the same tree packed again',
}

export interface Report {
  readonly results: readonly Result[]
  readonly figures: readonly Figure[]
  /** Lines on the machine, versions and the day. */
  readonly circumstances: readonly string[]
}

/** docs/benchmarks.md. */
export function markdown({ results, figures, circumstances }: Report): string {
  return [
    '# Benchmarks',
    '',
    'Written by `npm run bench -- --fresh`: everything on this page was measured in one run. Sizes are exact; times are of',
    'this machine, and mean something only beside each other. Bases and sources are in the page cache, for every tool; a',
    'server of ours begins with an empty second slot, and its apply includes checking the base, flushing, and reading the',
    'slot back from the disk; an erofs, which no loader here reads, is only made in an empty file. `test/bench/` says how each',
    'tool is called.',
    '',
    ...circumstances.map((line) => `- ${line}`),
    '',
    '## What an update costs',
    '',
    ...resultTable(results),
    '',
    '## Against what was promised',
    '',
    ...figureTable(figures),
    '',
  ].join('\n')
}

export function resultTable(results: readonly Result[]): string[] {
  const steps = (Object.keys(STEP_NAMES) as Step[]).filter((step) =>
    results.some((result) => result.step === step),
  )
  return steps.flatMap((step) => [
    `${STEP_NAMES[step]}`,
    '',
    '| image | tool | bytes to send | create | peak RSS | apply | peak RSS |',
    '|---|---|--:|--:|--:|--:|--:|',
    ...sorted(results.filter((result) => result.step === step)).map(resultLine),
    '',
  ])
}

/** By image; the smallest first, what failed last. */
function sorted(results: readonly Result[]): Result[] {
  const images = Object.keys(IMAGE_NAMES)
  const bytes = (result: Result) => (isRow(result) ? result.bytes : Number.POSITIVE_INFINITY)
  return [...results].sort((a, b) => images.indexOf(a.image) - images.indexOf(b.image) || bytes(a) - bytes(b))
}

function resultLine(result: Result): string {
  const head = `| ${IMAGE_NAMES[result.image]} | ${result.tool}`
  if (!isRow(result)) return `${head} | – | ${result.failed} | | | |`
  const { bytes, create, apply } = result
  const costs = [create, apply].flatMap(({ seconds, peakBytes }) => [
    `${seconds.toFixed(1)} s`,
    megabytes(peakBytes),
  ])
  return `${head} | ${grouped(bytes)} | ${costs.join(' | ')} |`
}

export function figureTable(figures: readonly Figure[]): string[] {
  return [
    '| figure | measured | must | aim | |',
    '|---|--:|--:|--:|---|',
    ...figures.map((figure) => {
      const { name, unit, measured, must, aim } = figure
      const met = measured === undefined ? '' : isMet(figure) ? 'met' : '**missed**'
      return `| ${name} | ${shown(measured, unit)} | ${bound(figure, must)} | ${bound(figure, aim)} | ${met} |`
    }),
  ]
}

function bound({ unit, atLeast }: Figure, value: number | undefined): string {
  if (value === undefined) return ''
  return `${atLeast === true ? '≥' : '≤'} ${shown(value, unit)}`
}

function shown(value: number | undefined, unit: Figure['unit']): string {
  if (value === undefined) return 'not measured'
  switch (unit) {
    case 'bytes':
      return value < 1e6 ? `${(value / 1e3).toFixed(1)} kB` : megabytes(value)
    case 'ratio':
      return `${value.toFixed(3)} ×`
    case 'seconds':
      return `${value.toFixed(1)} s`
  }
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(bytes < 100e6 ? 2 : 0)} MB`
}

/** Digits in groups of three. */
function grouped(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ',')
}
