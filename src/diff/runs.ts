import type { Span } from '../bundle/manifest.ts'
import type { Content } from './content.ts'
import type { FileRun } from './files.ts'
import type { UnitFate } from './prove.ts'

/** A run of the new image that is made in one way, with the parts of files that are in it. */
export interface ImageRun {
  readonly unit: number
  readonly fate: UnitFate
  /** In the image. */
  readonly offset: number
  readonly stored: number
  /** Of its content. */
  readonly at: number
  readonly bytes: number
  readonly files: readonly FileRun[]
}

/** The image in its own order: units, those without an encoding file by file. */
export function listRuns(
  content: Content,
  fates: readonly UnitFate[],
  files: readonly FileRun[],
): ImageRun[] {
  const runs: ImageRun[] = []
  const within = walkFiles(files)
  for (const [unit, { offset, stored, content: bytes }] of content.image.units.entries()) {
    const fate = fates[unit] ?? { kind: 'raw' }
    const at = content.startOf(unit)
    const parts = within(at, bytes)
    if (fate.kind !== 'raw') runs.push({ unit, fate, offset, stored, at, bytes, files: parts })
    else
      for (const part of parts) {
        const place = offset + part.at - at
        runs.push({
          unit,
          fate,
          offset: place,
          stored: part.bytes,
          at: part.at,
          bytes: part.bytes,
          files: [part],
        })
      }
  }
  return runs
}

/** Cuts ascending file runs to ascending ranges. */
function walkFiles(files: readonly FileRun[]): (at: number, bytes: number) => FileRun[] {
  let next = 0
  return (at, bytes) => {
    const parts: FileRun[] = []
    for (;;) {
      const run = files[next]
      if (run === undefined || run.at >= at + bytes) return parts
      const from = Math.max(at, run.at)
      const to = Math.min(at + bytes, run.at + run.bytes)
      if (to > from) parts.push({ ...run, at: from, bytes: to - from, offset: run.offset + from - run.at })
      if (run.at + run.bytes > at + bytes) return parts
      next += 1
    }
  }
}

/** What an initramfs holds lies elsewhere in the image too, mostly behind it: it is made last and copies from there. */
export function isLate(path: string): boolean {
  return /(^|\/)(initrd|initramfs)[^/]*$/.test(path)
}

/** Runs that hold a part of a late file go to the end, whatever becomes of them. */
export function orderRuns(runs: readonly ImageRun[]): { early: ImageRun[]; late: ImageRun[]; order: Span[] } {
  const isMoved = (run: ImageRun) => run.files.some(({ file }) => isLate(file.path))
  const late = runs.filter(isMoved)
  const early = runs.filter((run) => !isMoved(run))
  return { early, late, order: spansOf([...early, ...late]) }
}

function spansOf(runs: readonly ImageRun[]): Span[] {
  const spans: { offset: number; bytes: number }[] = []
  for (const { offset, stored } of runs) {
    const last = spans.at(-1)
    if (last && last.offset + last.bytes === offset) last.bytes += stored
    else spans.push({ offset, bytes: stored })
  }
  return spans
}
