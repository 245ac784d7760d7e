import type { Request } from './requests.ts'
import type { Repo, Verb } from './verb.ts'

// OstreeRepoPruneFlags
const NO_PRUNE = 1 << 0
const REFS_ONLY = 1 << 1

export interface Pruned {
  /** In the repository before. */
  readonly objects: number
  readonly removed: number
  /** That they took, or would free with `dryRun`. */
  readonly bytes: number
}

/** Removes objects that nothing leads to. */
export async function prune({ fn }: Verb, repo: Repo, request: Request<'prune'>): Promise<Pruned> {
  const { refsOnly = false, depth = -1, dryRun = false } = request
  const flags = (dryRun ? NO_PRUNE : 0) | (refsOnly ? REFS_ONLY : 0)
  const [objects, removed, bytes] = await fn.ostree_repo_prune(repo, flags, depth)
  return { objects, removed, bytes: Number(bytes) }
}
