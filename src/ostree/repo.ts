import { PineError } from '../core/error.ts'
import type { Request } from './requests.ts'
import { AT_FDCWD, type Repo, type Verb } from './verb.ts'

/** Throws `OSTREE_NOT_FOUND` where there is no repository. */
export async function openRepo({ fn, handOver }: Verb, { path }: Request<'open'>): Promise<Repo> {
  return handOver(await fn.ostree_repo_open_at(AT_FDCWD, path))
}

/** Makes a repository, or opens one that is there. Throws `FILE_EXISTS` where that has another mode. */
export async function initRepo(
  { fn, handOver }: Verb,
  { path, mode, flush = true }: Request<'init'>,
): Promise<Repo> {
  const wanted = fn.ostree_repo_mode_from_string(mode)
  const repo = await fn.ostree_repo_create_at(AT_FDCWD, path, wanted)
  if (!flush) fn.ostree_repo_set_disable_fsync(repo, true)
  if (fn.ostree_repo_get_mode(repo) === wanted) return handOver(repo)
  throw new PineError('FILE_EXISTS', `${path}: found a repository of another mode, expected ${mode}`, {
    hint: 'open it as it is, or choose another path',
  })
}
