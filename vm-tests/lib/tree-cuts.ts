import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { realHost } from '../../src/host/real-host.ts'
import type { SlotName } from '../../src/model/boot-state.ts'
import type { Layout } from '../../src/model/layout.ts'
import { openDiskImage } from '../../src/run/disk.ts'
import { requireLayout } from '../../src/run/machine.ts'
import { seededRandom, seedFor } from '../../test/power-cut/random.ts'
import { copyDisk } from './commands.ts'
import { type Piece, whatArrives } from './lossy-disk.ts'
import { openPatched, type PatchedDisk } from './patched-disk.ts'
import { followToEnd } from './tree-cut-ends.ts'
import { lookAtDisk } from './tree-cut-look.ts'
import { armedAt, cutsByMoment, slotsWritten } from './tree-cut-moments.ts'
import { addFound, addLoss, emptyTreeReport, type TreeCutReport } from './tree-cut-report.ts'
import type { TreeRecording } from './tree-recording.ts'
import type { Logged, LoggedWrite } from './write-log.ts'

export interface TreeCutOptions {
  readonly recording: TreeRecording
  /** For the disk: a folder. */
  readonly dir: string
  readonly cuts: number
  readonly seed: number
  /** Another order than the one that was recorded, to see that it is found out. */
  readonly reorder?: (log: readonly Logged[], layout: Layout) => readonly Logged[]
  /** No more cuts once such a problem was found. */
  readonly until?: RegExp
  /** So many of the disks are started, which takes half a minute each; default 0. */
  readonly follow?: number
}

/**
 * Goes through a recorded update and has the power go at moments of it; of what was not flushed any part is on the disk then.
 * The same seed loses the same of the same log.
 */
export async function cutTreeUpdate(options: TreeCutOptions): Promise<TreeCutReport> {
  const { recording, dir, reorder = () => recording.log } = options
  const path = join(dir, 'cut.img')
  copyDisk(recording.before, path)
  const layout = requireLayout(await openDiskImage(realHost(), path))
  const log = reorder(recording.log, layout)
  const disk = openPatched(path)
  try {
    return await cutEverywhere({ ...options, path, layout, log, disk })
  } finally {
    disk.close()
  }
}

interface Walk extends TreeCutOptions {
  readonly path: string
  readonly layout: Layout
  readonly log: readonly Logged[]
  /** Holds what is flushed, between two cuts. */
  readonly disk: PatchedDisk
}

async function cutEverywhere(walk: Walk): Promise<TreeCutReport> {
  const { layout, log, disk, cuts, until } = walk
  const numbers = cutsByMoment(log, layout, cuts)
  const armed = armedAt(log, layout)
  const report = emptyTreeReport()
  const whole = new Set<SlotName>()
  const seen = new Set<string>()
  let pending: LoggedWrite[] = []
  for (const [moment, entry] of log.entries()) {
    if (entry.kind === 'write') pending.push(entry)
    else {
      for (const slot of slotsWritten(pending, layout)) whole.delete(slot)
      disk.put(pending)
      pending = []
      seen.clear()
    }
    const mayStart = slotsToStart(moment - armed, pending)
    const place = { moment, doing: entry.doing, pending, mayStart, whole, seen, report }
    for (let number = 0; number < (numbers.get(moment) ?? 0); number++) {
      await cutOnce(walk, place, number)
      if (report.problems.some((problem) => until?.test(problem))) return report
    }
  }
  return report
}

/** `since`: so many entries of the log after the arming, or before it. */
function slotsToStart(since: number, pending: readonly LoggedWrite[]): SlotName[] {
  if (since < 0) return ['b']
  return since < pending.length ? ['a', 'b'] : ['a']
}

interface Place {
  readonly moment: number
  readonly doing: string
  readonly pending: readonly LoggedWrite[]
  readonly mayStart: readonly SlotName[]
  /** Slots that are known to be, if nothing that is pending arrives. */
  readonly whole: Set<SlotName>
  /** What arrived in other cuts since the last flush. */
  readonly seen: Set<string>
  readonly report: TreeCutReport
}

async function cutOnce(walk: Walk, place: Place, number: number): Promise<void> {
  const { path, disk, seed, recording } = walk
  const { moment, pending, mayStart, seen, report } = place
  const { pieces, loss } = whatArrives(pending, seededRandom(seedFor(seed, String(moment), number)))
  addLoss(report, loss)
  const key = keyOf(pieces)
  if (seen.has(key)) return
  seen.add(key)
  const touched = slotsWritten(pieces, walk.layout)
  const known = new Set([...place.whole].filter((slot) => !touched.includes(slot)))
  const takeBack = disk.put(pieces)
  const found = await lookAtDisk(path, { kit: recording.kit, mayStart, known })
  await followSome(walk, report, found.starts)
  takeBack()
  for (const slot of found.whole) if (!touched.includes(slot)) place.whole.add(slot)
  addFound(report, found, `cut ${report.cuts}, entry ${moment} of the log (${place.doing})`)
}

/** Spread over the cuts. */
async function followSome(
  { path, cuts, recording, follow = 0 }: Walk,
  report: TreeCutReport,
  starts: SlotName | undefined,
): Promise<void> {
  const isDue = report.cuts >= ((report.followed + 0.5) * cuts) / follow
  if (!isDue || report.followed === follow || starts === undefined) return
  const copy = `${path}.${report.cuts}`
  copyDisk(path, copy)
  await followToEnd(recording.kit, copy, starts)
  rmSync(copy)
  report.followed++
}

/** Two writes to one place with nothing flushed in between are taken for one. */
function keyOf(pieces: readonly Piece[]): string {
  return pieces.map(({ offset, content }) => `${offset}+${content.length}`).join()
}
