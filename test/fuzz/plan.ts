import type { TargetEntry } from './target.ts'
import type { Job } from './worker.ts'

export const PER_ROUND = 25_000
/** So that both cores have something to do until the end, and a leak has the time to show. */
const ROUNDS_PER_JOB = 5

/** How many executions each target gets, by weight. */
export function shareOut(entries: readonly TargetEntry[], executions: number): Map<string, number> {
  const total = entries.reduce((sum, { weight }) => sum + weight, 0)
  return new Map(
    entries.map(({ name, weight }) => [
      name,
      total === 0 ? executions : Math.max(1, Math.ceil((executions * weight) / total)),
    ]),
  )
}

export interface PlanOptions {
  readonly executions: number
  readonly seed: number
  readonly grow: boolean
}

/** The slow ones first: the last jobs are then short. */
export function planJobs(entries: readonly TargetEntry[], { executions, seed, grow }: PlanOptions): Job[] {
  const shares = shareOut(entries, executions)
  const bySpeed = [...entries].sort((one, other) => (other.slowness ?? 1) - (one.slowness ?? 1))
  return bySpeed.flatMap(({ name, perRound = PER_ROUND }) => {
    const share = shares.get(name) ?? 0
    const rounds = Array.from({ length: Math.ceil(share / perRound) }, (_, index) => ({
      first: index * perRound,
      executions: Math.min(perRound, share - index * perRound),
    }))
    const jobs: Job[] = []
    for (let at = 0; at < rounds.length; at += ROUNDS_PER_JOB)
      jobs.push({ target: name, seed, grow, rounds: rounds.slice(at, at + ROUNDS_PER_JOB) })
    return jobs
  })
}
