import { tipOf } from './refs.ts'
import type { Request } from './requests.ts'
import { inTransaction } from './transaction.ts'
import { dictOf, variantOf } from './variant.ts'
import { AT_FDCWD, type Repo, type Verb } from './verb.ts'

// OstreeRepoCommitModifierFlags
const SKIP_XATTRS = 1 << 0
const CANONICAL_PERMISSIONS = 1 << 2

/** Writes a folder into the repository and points the ref to it, in one transaction. Returns the commit. */
export async function commitTree(verb: Verb, repo: Repo, request: Request<'commit'>): Promise<string> {
  const { fn } = verb
  const { tree, ref, subject = null, body = null, skipXattrs = false, canonical = false } = request
  const timestamp = request.timestamp ?? Math.floor(Date.now() / 1000)
  const tip = ref === null ? undefined : await tipOf(verb, repo, ref)
  const parent = request.parent === undefined ? (tip ?? null) : request.parent
  const flags = (skipXattrs ? SKIP_XATTRS : 0) | (canonical ? CANONICAL_PERMISSIONS : 0)
  const metadata = metadataOf(verb, request)
  return await inTransaction(verb, repo, async () => {
    const files = fn.ostree_mutable_tree_new()
    const modifier = fn.ostree_repo_commit_modifier_new(flags)
    await fn.ostree_repo_write_dfd_to_mtree(repo, AT_FDCWD, tree, files, modifier)
    const root = await fn.ostree_repo_write_mtree(repo, files)
    const commit = await fn.ostree_repo_write_commit_with_time(
      repo,
      parent,
      subject,
      body,
      metadata,
      root,
      timestamp,
    )
    if (ref !== null) fn.ostree_repo_transaction_set_ref(repo, null, ref, commit)
    return commit
  })
}

/** A commit says which ref it was made for, as those of the `ostree` command do. */
function metadataOf({ fn }: Verb, { ref, metadata = {} }: Request<'commit'>) {
  const binding = ref === null ? [] : [ref]
  const all = { ...metadata, 'ostree.ref-binding': binding }
  const entries = Object.entries(all).map(([key, value]) => [key, variantOf(fn, value)] as const)
  return dictOf(fn, Object.fromEntries(entries))
}
