import { checkout } from './checkout.ts'
import { commitTree } from './commit.ts'
import { compare } from './compare.ts'
import { applyDelta, makeDelta } from './delta.ts'
import { diffCommits } from './diff.ts'
import { fsck } from './fsck.ts'
import { measure } from './measure.ts'
import { prune } from './prune.ts'
import { pullLocal } from './pull-local.ts'
import { listRefs, resolveRev, setRef } from './refs.ts'
import type { RepoVerb, Request } from './requests.ts'
import { showCommit } from './show.ts'
import type { Repo, Verb } from './verb.ts'

/** What each verb of `REPO_REQUESTS` does; `close` is done by who keeps the repositories. */
export const VERBS = {
  resolve: (verb, repo, { rev }) => resolveRev(verb, repo, rev),
  refs: listRefs,
  setRef,
  show: showCommit,
  commit: commitTree,
  pullLocal,
  checkout,
  diff: diffCommits,
  measure,
  compare,
  makeDelta,
  applyDelta,
  prune,
  fsck,
} satisfies {
  [K in Exclude<RepoVerb, 'close'>]: (verb: Verb, repo: Repo, request: Request<K>) => Promise<unknown>
}

export type Result<K extends keyof typeof VERBS> = Awaited<ReturnType<(typeof VERBS)[K]>>
