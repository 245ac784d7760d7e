import type { Codecs } from '../core/codecs.ts'
import type { Shape } from '../core/shape.ts'
import type { MovedRun, RunAim } from './moved-runs.ts'

interface Comparison {
  readonly old: Buffer
  readonly now: Buffer
  readonly map: Float64Array
  readonly codecs: Pick<Codecs, 'adjust'>
}

/** Bytes that naming a shape costs, about: less gain is none. */
const AIM_BYTES = 24

/** How many numbers point to what each step of the map moves. */
export function countUses(runs: readonly MovedRun[], comparison: Comparison): Uint32Array {
  const uses = new Uint32Array((comparison.map.length - 1) / 2)
  for (const run of runs) {
    if (run.aim === undefined) continue
    const [before, after] = contentOf(run, comparison)
    if (!before.equals(after)) adjusted(before, { ...comparison, aim: run.aim, uses })
  }
  return uses
}

/** Makes sure of copies, which were found between changed files, and takes back what brings nothing. */
export function settleRuns(runs: readonly MovedRun[], comparison: Comparison): MovedRun[] {
  const gains = new Map<Shape, number>()
  const gainOf = runs.map((run) => {
    const gain = run.aim ? gainBy(run.aim, run, comparison) : 0
    if (run.aim && gain > 0) gains.set(run.aim.shape, (gains.get(run.aim.shape) ?? 0) + gain)
    return gain
  })
  return runs.map((run, index) => {
    if (run.old < 0) return run
    const { aim, ...plain } = run
    const [before, after] = contentOf(run, comparison)
    if (before.equals(after)) return { ...plain, kind: 'copy' }
    const isWorth = aim && (gainOf[index] ?? 0) >= 0 && (gains.get(aim.shape) ?? 0) > AIM_BYTES
    return isWorth ? run : { ...plain, kind: 'patch' }
  })
}

function contentOf({ old, now, bytes }: MovedRun, files: Comparison): [Buffer, Buffer] {
  return [files.old.subarray(old, old + bytes), files.now.subarray(now, now + bytes)]
}

/** How many bytes more are right. */
function gainBy(aim: RunAim, run: MovedRun, comparison: Comparison): number {
  const [before, after] = contentOf(run, comparison)
  return differing(before, after) - differing(adjusted(before, { ...comparison, aim }), after)
}

interface Adjustment extends Pick<Comparison, 'map' | 'codecs'> {
  readonly aim: RunAim
  readonly uses?: Uint32Array
}

/** A copy in which numbers followed the map. */
function adjusted(before: Buffer, { codecs, aim, map, uses }: Adjustment): Buffer {
  const moved = Buffer.from(before)
  codecs.adjust(moved, { ...aim, map, bare: false, ...(uses && { uses }) })
  return moved
}

function differing(left: Buffer, right: Buffer): number {
  let count = 0
  for (let i = 0; i < left.length; i++) if (left[i] !== right[i]) count += 1
  return count
}
