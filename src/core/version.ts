/**
 * Versions are dotted numbers with an optional `-` suffix, which sorts before the bare version (a preview), and an
 * optional `+` suffix, which sorts after it (a rebuild): `1.2-rc1` < `1.2` < `1.2+1` < `1.2.1`. Missing numbers count
 * as 0, so `1.2` equals `1.2.0`. In a suffix, runs of digits compare as numbers and sort before runs of other characters.
 */
const VERSION = /^(\d+(?:\.\d+)*)(?:-([0-9A-Za-z.]+))?(?:\+([0-9A-Za-z.]+))?$/
const MAX_LENGTH = 64

interface ParsedVersion {
  numbers: string[]
  preview: string[] | undefined
  rebuild: string[] | undefined
}

export function isVersion(text: string): boolean {
  return text.length <= MAX_LENGTH && VERSION.test(text)
}

/** Negative when `x` is older than `y`, 0 when neither is newer. Give it versions only (`isVersion`). */
export function compareVersions(x: string, y: string): number {
  const [left, right] = [parse(x), parse(y)]
  return (
    compareRuns(left.numbers, right.numbers, '0') ||
    comparePreviews(left.preview, right.preview) ||
    compareRuns(left.rebuild ?? [], right.rebuild ?? [])
  )
}

function parse(text: string): ParsedVersion {
  const match = VERSION.exec(text)
  if (!match) throw new Error(`"${text}" is no version`)
  const [, numbers = '', preview, rebuild] = match
  return {
    numbers: numbers.split('.'),
    preview: preview?.match(RUNS) ?? undefined,
    rebuild: rebuild?.match(RUNS) ?? undefined,
  }
}

const RUNS = /\d+|[A-Za-z]+|\./g

function comparePreviews(x: string[] | undefined, y: string[] | undefined): number {
  if (x && y) return compareRuns(x, y)
  return Number(y !== undefined) - Number(x !== undefined)
}

/** A list that ends first is the older one, unless `filler` stands for what is missing. */
function compareRuns(x: readonly string[], y: readonly string[], filler = ''): number {
  for (let i = 0; i < Math.max(x.length, y.length); i++) {
    const order = compareRun(x[i] ?? filler, y[i] ?? filler)
    if (order !== 0) return order
  }
  return 0
}

function compareRun(x: string, y: string): number {
  return rank(x) - rank(y) || (isNumber(x) ? compareDigits(x, y) : compareText(x, y))
}

/** nothing < separator < number < text */
function rank(run: string): number {
  return run === '' ? 0 : run === '.' ? 1 : isNumber(run) ? 2 : 3
}

function isNumber(run: string): boolean {
  return /^\d/.test(run)
}

/** By value, without turning it into a number: any length compares exactly. */
function compareDigits(x: string, y: string): number {
  const [left, right] = [x.replace(/^0+/, ''), y.replace(/^0+/, '')]
  return left.length - right.length || compareText(left, right)
}

function compareText(x: string, y: string): number {
  return x < y ? -1 : x > y ? 1 : 0
}
