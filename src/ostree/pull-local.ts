import { pathToFileURL } from 'node:url'
import { listRefs } from './refs.ts'
import type { Request } from './requests.ts'
import { dictOf, stringsOf } from './variant.ts'
import { AT_FDCWD, type Repo, type Verb } from './verb.ts'

// OstreeRepoPullFlags
const UNTRUSTED = 1 << 2

const PROGRESS_MS = 100
/** Names of libostree's counters: objects taken, and those under way. More are found as commits and folders arrive. */
const TAKEN = ['metadata-fetched-localcache', 'content-fetched-localcache']
const UNDER_WAY = ['outstanding-writes']

/** Takes refs and their commits from a repository of this machine, and has the same refs then. */
export async function pullLocal(verb: Verb, repo: Repo, request: Request<'pullLocal'>): Promise<void> {
  const { fn } = verb
  const { from, depth = 0, trusted = false } = request
  const refs = request.refs ?? (await ownRefs(verb, from))
  const options = dictOf(fn, {
    flags: fn.g_variant_new_int32(trusted ? 0 : UNTRUSTED),
    refs: stringsOf(fn, refs),
    depth: fn.g_variant_new_int32(depth),
  })
  const progress = fn.ostree_async_progress_new()
  const sum = (counters: readonly string[]): number =>
    counters.reduce((total, name) => total + fn.ostree_async_progress_get_uint(progress, name), 0)
  const report = (): void => {
    const taken = sum(TAKEN)
    verb.progress(taken, taken + sum(UNDER_WAY))
  }
  // libostree would tell only in callbacks from its thread; asked, it answers from any.
  const timer = setInterval(report, PROGRESS_MS)
  try {
    await fn.ostree_repo_pull_with_options(repo, pathToFileURL(from).href, options, progress)
    report()
  } finally {
    clearInterval(timer)
    // Else its last message waits in GLib's main context, and the next pull delivers it to freed memory.
    fn.ostree_async_progress_finish(progress)
  }
}

/** Those of its remotes are somebody else's. */
async function ownRefs(verb: Verb, path: string): Promise<string[]> {
  const source = await verb.fn.ostree_repo_open_at(AT_FDCWD, path)
  const refs = await listRefs(verb, source, {})
  return Object.keys(refs).filter((ref) => !ref.includes(':'))
}
