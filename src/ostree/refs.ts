import type { Request } from './requests.ts'
import type { Repo, Verb } from './verb.ts'

/** Every ref, as `main` or `remote:main`, and its commit; sorted. */
export async function listRefs(verb: Verb, repo: Repo, { prefix }: Request<'refs'>) {
  const { fn, memory } = verb
  const table = await fn.ostree_repo_list_refs(repo, prefix ?? null)
  const refs = keysOf(verb, table).map((key) => [
    memory.text(key),
    memory.text(fn.g_hash_table_lookup(table, key)),
  ])
  return Object.fromEntries(refs.sort(([a = ''], [b = '']) => (a < b ? -1 : 1))) as Record<string, string>
}

/** The commit. Throws `OSTREE_NOT_FOUND`. */
export async function resolveRev({ fn }: Pick<Verb, 'fn'>, repo: Repo, rev: string): Promise<string> {
  const commit = await fn.ostree_repo_resolve_rev(repo, rev, false)
  // Null is only for those who allow it.
  return String(commit)
}

/** Undefined where there is no such ref. */
export async function tipOf({ fn }: Verb, repo: Repo, ref: string): Promise<string | undefined> {
  return (await fn.ostree_repo_resolve_rev(repo, ref, true)) ?? undefined
}

/** Points a ref to a commit, or removes it. */
export async function setRef({ fn }: Verb, repo: Repo, { ref, commit }: Request<'setRef'>): Promise<void> {
  await fn.ostree_repo_set_ref_immediate(repo, null, ref, commit)
}

/** Addresses of the keys; they live as long as the table. */
export function keysOf(
  { fn, memory }: Verb,
  table: Parameters<Verb['fn']['g_hash_table_lookup']>[0],
): number[] {
  const [array, count] = fn.g_hash_table_get_keys_as_array(table)
  const keys = memory.addresses(array, count)
  fn.g_free(array)
  return keys
}
