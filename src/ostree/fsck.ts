import { PineError } from '../core/error.ts'
import { keysOf, listRefs } from './refs.ts'
import type { Repo, Verb } from './verb.ts'

export interface FsckProblem {
  /** Such as `<64 hex digits>.file`, or a ref. */
  readonly object: string
  readonly found: string
}

export interface Fsck {
  /** That were read and compared with their names. */
  readonly objects: number
  /** Of which not everything was ever there; that is no problem. */
  readonly partialCommits: readonly string[]
  readonly problems: readonly FsckProblem[]
}

/** An object, and its OstreeObjectType of ostree-core.h. */
interface Named {
  readonly checksum: string
  readonly type: number
}

type Problem = Named & { readonly found: string }

const FILE = 1
const COMMIT = 4
const TOMBSTONE_COMMIT = 5
// OstreeRepoListObjectsFlags
const LIST_ALL = 1 << 2

/** Reads every object, those too that nothing leads to, and looks for those that commits and refs need. */
export async function fsck(verb: Verb, repo: Repo): Promise<Fsck> {
  const listed = namesIn(verb, await verb.fn.ostree_repo_list_objects(repo, LIST_ALL))
  const damaged = await readAll(verb, repo, listed)
  // A damaged commit or folder leads anywhere.
  const leads = damaged.some(({ type }) => type !== FILE) ? [] : listed.filter(({ type }) => type === COMMIT)
  const { partial, missing } = await follow(verb, repo, leads, listed)
  const problems = [...damaged, ...missing].map(({ checksum, type, found }) => ({
    object: `${checksum}.${verb.fn.ostree_object_type_to_string(type)}`,
    found,
  }))
  return {
    objects: listed.length,
    partialCommits: partial,
    problems: [...problems, ...(await lostRefs(verb, repo))],
  }
}

async function readAll(verb: Verb, repo: Repo, objects: readonly Named[]): Promise<Problem[]> {
  const problems: Problem[] = []
  for (const [done, { checksum, type }] of objects.entries()) {
    verb.progress(done, objects.length)
    if (type === TOMBSTONE_COMMIT) continue
    const found = await failureOf(verb.fn.ostree_repo_fsck_object(repo, type, checksum))
    if (found !== undefined) problems.push({ checksum, type, found })
  }
  verb.progress(objects.length, objects.length)
  return problems
}

/** What whole commits need and what is not there. */
async function follow(verb: Verb, repo: Repo, commits: readonly Named[], listed: readonly Named[]) {
  const known = new Set(listed.map(keyOf))
  const partial: string[] = []
  const missing = new Map<string, Problem>()
  for (const commit of commits) {
    const [object, state] = await verb.fn.ostree_repo_load_commit(repo, commit.checksum)
    object.close()
    if (state !== 0) partial.push(commit.checksum)
    else for (const lost of await lostOf(verb, repo, commit, known)) missing.set(keyOf(lost), lost)
  }
  return { partial: partial.sort(), missing: [...missing.values()] }
}

async function lostOf(verb: Verb, repo: Repo, commit: Named, known: ReadonlySet<string>): Promise<Problem[]> {
  let needed: Named[] = []
  const found = await failureOf(
    verb.fn.ostree_repo_traverse_commit(repo, commit.checksum, 0).then((table) => {
      needed = namesIn(verb, table)
      table.close()
    }),
  )
  // A folder is missing, so what is in it is not known.
  if (found !== undefined) return [{ ...commit, found }]
  const lost = needed.filter((object) => !known.has(keyOf(object)))
  return lost.map((object) => ({ ...object, found: `missing, commit ${commit.checksum} needs it` }))
}

async function lostRefs(verb: Verb, repo: Repo): Promise<FsckProblem[]> {
  const problems: FsckProblem[] = []
  for (const [ref, commit] of Object.entries(await listRefs(verb, repo, {}))) {
    const loaded = verb.fn.ostree_repo_load_commit(repo, commit).then(([object]) => object.close())
    const found = await failureOf(loaded)
    if (found !== undefined) problems.push({ object: ref, found })
  }
  return problems
}

/** What libostree says is wrong. A cancel is none. */
async function failureOf(done: Promise<unknown>): Promise<string | undefined> {
  try {
    await done
    return undefined
  } catch (error) {
    if (error instanceof PineError) return error.message
    throw error
  }
}

function namesIn(verb: Verb, table: Parameters<typeof keysOf>[1]): Named[] {
  return keysOf(verb, table).map((key) => {
    const [checksum, type] = verb.fn.ostree_object_name_deserialize(key)
    return { checksum, type }
  })
}

function keyOf({ checksum, type }: Named): string {
  return `${checksum}.${type}`
}
