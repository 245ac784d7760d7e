import { resolveRev } from './refs.ts'
import type { Request } from './requests.ts'
import { readVariant, type VariantValue } from './variant.ts'
import type { Repo, Verb } from './verb.ts'

export interface CommitInfo {
  readonly commit: string
  readonly parent: string | null
  readonly subject: string
  readonly body: string
  /** Seconds since 1970. */
  readonly timestamp: number
  readonly metadata: VariantValue
  /** Not all of its objects are there. */
  readonly isPartial: boolean
}

/** In OSTREE_COMMIT_GVARIANT_FORMAT, ostree-core.h: metadata, parent, related, subject, body and so on. */
const FIELDS = { metadata: 0, subject: 3, body: 4 } as const

/** What a commit says of itself. Throws `OSTREE_NOT_FOUND`. */
export async function showCommit(verb: Verb, repo: Repo, { rev }: Request<'show'>): Promise<CommitInfo> {
  const { fn } = verb
  const commit = await resolveRev(verb, repo, rev)
  const [object, state] = await fn.ostree_repo_load_commit(repo, commit)
  const field = (index: number): VariantValue =>
    readVariant(verb, fn.g_variant_get_child_value(object, index))
  return {
    commit,
    parent: fn.ostree_commit_get_parent(object),
    subject: String(field(FIELDS.subject)),
    body: String(field(FIELDS.body)),
    timestamp: Number(fn.ostree_commit_get_timestamp(object)),
    metadata: field(FIELDS.metadata),
    isPartial: state !== 0,
  }
}
