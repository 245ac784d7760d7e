import { MAX_MAP_STEPS } from '../delta/program.ts'
import type { SectionPair } from './shapes.ts'

/** A run of the new file that was at another place in the old one. */
export interface Diagonal {
  readonly old: number
  readonly now: number
  readonly bytes: number
}

/** From one address on, everything has moved by so much. */
interface Step {
  readonly start: number
  readonly end: number
  readonly shift: number
}

/** Shorter runs are chance. */
const LEAST_BYTES = 16

/** Runs of one `Codecs.diff`; what follows another on its diagonal is one with it. */
export function listDiagonals(triples: Int32Array): Diagonal[] {
  const runs: Diagonal[] = []
  let now = 0
  for (let i = 0; i < triples.length; i += 3) {
    const [kind = 0, bytes = 0, old = 0] = triples.subarray(i, i + 3)
    const last = runs.at(-1)
    if (kind !== 0 && last && last.old + last.bytes === old && last.now + last.bytes === now)
      runs[runs.length - 1] = { ...last, bytes: last.bytes + bytes }
    else if (kind !== 0) runs.push({ old, now, bytes })
    now += bytes
  }
  return runs
}

/** Where the addresses of a file have gone, as `Codecs.adjust` takes it. */
export function moveMap(diagonals: readonly Diagonal[], pairs: readonly SectionPair[]): Float64Array {
  const steps = pairs.flatMap((pair) => stepsOf(diagonals, pair)).sort((a, b) => a.start - b.start)
  return toMap(joinSteps(steps))
}

/** In one section; its start moves with it. */
function stepsOf(diagonals: readonly Diagonal[], { old, now }: SectionPair): Step[] {
  // What is not loaded has no address.
  if (old.address === 0) return []
  const steps: Step[] = []
  for (const run of diagonals) {
    const ahead = run.now - run.old
    const from = Math.max(run.old, old.offset, now.offset - ahead)
    const to = Math.min(run.old + run.bytes, old.offset + old.bytes, now.offset + now.bytes - ahead)
    if (to - from < LEAST_BYTES) continue
    const start = from - old.offset + old.address
    steps.push({ start, end: start + to - from, shift: from + ahead - now.offset + now.address - start })
  }
  const first = steps.reduce((least, { start }) => Math.min(least, start), old.address + old.bytes)
  if (first > old.address) steps.push({ start: old.address, end: first, shift: now.address - old.address })
  return steps
}

/** Of what was copied to several places, the first counts. */
function joinSteps(steps: readonly Step[]): Step[] {
  const joined: Step[] = []
  for (const step of steps) {
    const last = joined.at(-1)
    if (last && step.end <= last.end) continue
    if (last?.shift === step.shift) joined[joined.length - 1] = { ...last, end: step.end }
    else joined.push({ ...step, start: Math.max(step.start, last?.end ?? step.start) })
  }
  return joined
}

function toMap(steps: readonly Step[]): Float64Array {
  const kept = steps.length > MAX_MAP_STEPS ? largest(steps) : steps
  const end = kept.at(-1)?.end ?? 0
  return Float64Array.from([...kept.map(({ start }) => start), ...kept.map(({ shift }) => shift), end])
}

function largest(steps: readonly Step[]): Step[] {
  const sizes = steps.map(({ start, end }) => end - start).sort((a, b) => b - a)
  const least = sizes[MAX_MAP_STEPS] ?? 0
  return steps.filter(({ start, end }) => end - start > least)
}

/** A step takes about three bytes of a program, and saves as much where two numbers follow it. */
const LEAST_USES = 2

/** The steps of a map that numbers point to; what the others moved goes with the one before. */
export function pruneMap(map: Float64Array, uses: Uint32Array): Float64Array {
  const kept: Omit<Step, 'end'>[] = []
  for (const [index, count] of uses.entries()) {
    const step = { start: map[index] ?? 0, shift: map[uses.length + index] ?? 0 }
    const last = kept.at(-1)
    const isNeeded = last === undefined || (count >= LEAST_USES && last.shift !== step.shift)
    if (isNeeded) kept.push(step)
  }
  return Float64Array.from([
    ...kept.map(({ start }) => start),
    ...kept.map(({ shift }) => shift),
    map.at(-1) ?? 0,
  ])
}

/** From the new addresses to the old ones. */
export function invertMap(map: Float64Array): Float64Array {
  const count = (map.length - 1) / 2
  const steps = Array.from({ length: count }, (_, i) => {
    const [start = 0, shift = 0] = [map[i], map[count + i]]
    return { start: start + shift, end: (map[i + 1 < count ? i + 1 : 2 * count] ?? 0) + shift, shift: -shift }
  })
  steps.sort((a, b) => a.start - b.start)
  const end = steps.reduce((most, step) => Math.max(most, step.end), 0)
  return Float64Array.from([...steps.map(({ start }) => start), ...steps.map(({ shift }) => shift), end])
}
