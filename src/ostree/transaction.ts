import type { Repo, Verb } from './verb.ts'

/** Objects and refs that `write` makes are all in the repository afterwards, or none. */
export async function inTransaction<T>({ fn }: Verb, repo: Repo, write: () => Promise<T>): Promise<T> {
  await fn.ostree_repo_prepare_transaction(repo)
  try {
    const made = await write()
    await fn.ostree_repo_commit_transaction(repo)
    return made
  } catch (error) {
    // What stays behind is in the repository's tmp/, and the next transaction removes it.
    await fn.ostree_repo_abort_transaction(repo).catch(() => undefined)
    throw error
  }
}
