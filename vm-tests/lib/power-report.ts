import type { Loss } from './lossy-disk.ts'
import type { StoryCounts } from './power-story.ts'

export interface RunReport extends StoryCounts {
  kills: number
  /** Disks that went through the whole story. */
  stories: number
  loss: Loss
  /** Kills by what the machine was doing. */
  phases: Map<string, number>
}

export function emptyReport(): RunReport {
  const counts = { boots: 0, applies: 0, forced: 0, updates: 0, rollbacks: 0, rejections: 0, spent: 0 }
  const loss = { unflushed: 0, lost: 0, torn: 0, lostBytes: 0 }
  return { kills: 0, stories: 0, ...counts, loss, phases: new Map() }
}

/** Adds what is in both as a number. */
export function addCounts<Counts extends object>(
  to: Counts,
  more: { [Name in keyof Counts]?: unknown },
): void {
  for (const name of Object.keys(more) as (keyof Counts)[]) {
    const [one, other] = [to[name], more[name]]
    if (typeof one === 'number' && typeof other === 'number') Object.assign(to, { [name]: one + other })
  }
}

export function addReport(to: RunReport, more: RunReport): void {
  addCounts(to, more)
  addCounts(to.loss, more.loss)
  for (const [phase, kills] of more.phases) to.phases.set(phase, (to.phases.get(phase) ?? 0) + kills)
}

/** In words, for a terminal and for docs/security.md. */
export function describeReport(report: RunReport): string {
  const { kills, stories, boots, loss, phases } = report
  const where = [...phases]
    .sort(([, one], [, other]) => other - one)
    .map(([phase, count]) => `${phase} ${count}`)
  return [
    `${kills} kills, ${stories} disks, ${boots} times up: ${report.updates} updates, ${report.rollbacks} ways back, ` +
      `${report.rejections} rejections, ${report.spent} trials used up by cuts, ${report.forced} applied again by force`,
    `lost ${loss.lost} and torn ${loss.torn} of ${loss.unflushed} unflushed writes, ${loss.lostBytes} bytes`,
    `killed in: ${where.join(', ')}`,
  ].join('\n')
}
