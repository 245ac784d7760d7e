import type { Shape } from '../core/shape.ts'
import type { SectionPair } from './shapes.ts'

/** A part of the new file as a part of the old one; `shape` where addresses in it are to follow the map. */
export interface MovedRun {
  readonly kind: 'literal' | 'copy' | 'patch' | 'moved'
  readonly bytes: number
  /** In the new file. */
  readonly now: number
  /** In the old file; -1 for literals. */
  readonly old: number
  readonly aim?: RunAim
}

export interface RunAim {
  readonly shape: Shape
  /** Of the first byte. */
  readonly oldAt: number
  readonly nowAt: number
}

/** What a difference found, cut where the new file's sections begin. */
export function listRuns(triples: Int32Array, pairs: readonly SectionPair[]): MovedRun[] {
  const cuts = cutsOf(pairs)
  const runs: MovedRun[] = []
  let now = 0
  let next = 0
  for (let i = 0; i < triples.length; i += 3) {
    const [kind = 0, bytes = 0, old = -1] = triples.subarray(i, i + 3)
    const end = now + bytes
    for (let from = now; from < end; ) {
      while ((cuts[next + 1]?.from ?? end) <= from) next += 1
      const to = Math.min(end, cuts[next + 1]?.from ?? end)
      const place = kind === 0 ? -1 : old + from - now
      addRun(
        runs,
        { kind: KINDS[kind] ?? 'literal', now: from, old: place, bytes: to - from },
        cuts[next]?.pair,
      )
      from = to
    }
    now = end
  }
  return runs
}

const KINDS = ['literal', 'copy', 'patch'] as const

/** Where the new file's sections begin, and what lies between them. */
function cutsOf(pairs: readonly SectionPair[]): { from: number; pair: SectionPair | undefined }[] {
  const ordered = [...pairs].sort((a, b) => a.now.offset - b.now.offset)
  const cuts: { from: number; pair: SectionPair | undefined }[] = [{ from: 0, pair: undefined }]
  for (const pair of ordered) {
    cuts.push({ from: pair.now.offset, pair }, { from: pair.now.offset + pair.now.bytes, pair: undefined })
  }
  return cuts
}

/** Where numbers follow the map, copies and patches are one run: what differs is known only then. */
function addRun(runs: MovedRun[], run: MovedRun, pair: SectionPair | undefined): void {
  const last = runs.at(-1)
  const shapes = pair?.shapes
  if (pair === undefined || shapes === undefined || run.old < 0 || !isInside(run, pair.old)) {
    runs.push(run)
    return
  }
  if (
    last?.aim &&
    last.aim.shape === shapes.old &&
    last.old + last.bytes === run.old &&
    last.now + last.bytes === run.now
  ) {
    runs[runs.length - 1] = { ...last, bytes: last.bytes + run.bytes }
    return
  }
  const oldAt = run.old - pair.old.offset + pair.old.address
  const nowAt = run.now - pair.now.offset + pair.now.address
  runs.push({ ...run, kind: 'moved', aim: { shape: shapes.old, oldAt, nowAt } })
}

function isInside({ old, bytes }: MovedRun, section: SectionPair['old']): boolean {
  return old >= section.offset && old + bytes <= section.offset + section.bytes
}
