import type { SlotName } from '../../src/model/boot-state.ts'
import type { Loss } from './lossy-disk.ts'
import { addCounts } from './power-report.ts'
import type { Found } from './tree-cut-look.ts'

export interface TreeCutReport {
  cuts: number
  /** Different disks among what they left; each was looked at once. */
  disks: number
  /** Of the disks: by the slot that starts. */
  starts: Record<SlotName, number>
  /** Times that a tree was compared with its commit: not again where nothing was written to its slot since. */
  compared: number
  /** Disks that were started, and updated again where they started r2. */
  followed: number
  loss: Loss
  problems: string[]
}

export function emptyTreeReport(): TreeCutReport {
  const loss = { unflushed: 0, lost: 0, torn: 0, lostBytes: 0 }
  return { cuts: 0, disks: 0, starts: { a: 0, b: 0 }, compared: 0, followed: 0, loss, problems: [] }
}

export function addFound(report: TreeCutReport, found: Found, where: string): void {
  report.disks++
  if (found.starts !== undefined) report.starts[found.starts]++
  report.compared += found.compared
  report.problems.push(...found.problems.map((problem) => `${where}: ${problem}`))
}

export function addLoss(report: TreeCutReport, loss: Loss): void {
  report.cuts++
  addCounts(report.loss, loss)
}

/** In words, for a terminal and for docs/security.md. */
export function describeTreeCuts(report: TreeCutReport): string {
  const { cuts, disks, starts, compared, followed, loss, problems } = report
  return [
    `${cuts} cuts, ${disks} different disks: ${starts.b} start the old tree, ${starts.a} the new one`,
    `${compared} comparisons of a tree with its commit, ${followed} disks started and brought to their end`,
    `lost ${loss.lost} and torn ${loss.torn} of ${loss.unflushed} unflushed writes, ${loss.lostBytes} bytes`,
    `${problems.length} problems`,
  ].join('\n')
}
