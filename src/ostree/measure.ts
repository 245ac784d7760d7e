import { entriesIn, rootOf } from './commit-tree.ts'
import { keysOf, resolveRev } from './refs.ts'
import type { Request } from './requests.ts'
import type { Repo, Verb } from './verb.ts'

/** What a commit takes: its objects, each by itself in blocks of 4 KiB, and a block for each folder of its tree. */
export interface Measured {
  readonly bytes: number
  /** Without the objects that the base has. Its folders are of no use: none can be a link to another. */
  readonly newBytes: number
  /** Of the longest of these objects. */
  readonly longestBytes: number
  /** Names in the root. */
  readonly top: readonly string[]
}

const BLOCK_BYTES = 4096

/** Lengths are those that objects have outside of any repository: they do not depend on its mode. */
export async function measure(verb: Verb, repo: Repo, { rev, base }: Request<'measure'>): Promise<Measured> {
  const commit = await resolveRev(verb, repo, rev)
  const known = new Set(base === undefined ? [] : (await objectsOf(verb, repo, base)).keys())
  const { tree } = await rootOf(verb, repo, commit)
  const folderBytes = (await countFolders({ verb, repo, counts: new Map() }, tree)) * BLOCK_BYTES
  const sum = { bytes: folderBytes, newBytes: folderBytes, longestBytes: 0 }
  for (const [name, { type, checksum }] of await objectsOf(verb, repo, commit)) {
    const [stream, length] = await verb.fn.ostree_repo_load_object_stream(repo, type, checksum)
    stream.close()
    const bytes = Math.ceil(Number(length) / BLOCK_BYTES) * BLOCK_BYTES
    sum.bytes += bytes
    if (known.has(name)) continue
    sum.newBytes += bytes
    sum.longestBytes = Math.max(sum.longestBytes, bytes)
  }
  const { files, folders } = await entriesIn(verb, repo, tree)
  return { ...sum, top: [...files, ...folders].map(({ name }) => name) }
}

interface Counting {
  readonly verb: Verb
  readonly repo: Repo
  /** By checksum: equal folders are one object. */
  readonly counts: Map<string, number>
}

/** Folders in a tree, with its root. */
async function countFolders(counting: Counting, tree: string): Promise<number> {
  const { verb, repo, counts } = counting
  const known = counts.get(tree)
  if (known !== undefined) return known
  let count = 1
  for (const below of (await entriesIn(verb, repo, tree)).folders)
    count += await countFolders(counting, below.tree)
  counts.set(tree, count)
  return count
}

async function objectsOf(verb: Verb, repo: Repo, rev: string) {
  const table = await verb.fn.ostree_repo_traverse_commit(repo, await resolveRev(verb, repo, rev), 0)
  const objects = keysOf(verb, table).map((key) => {
    const [checksum, type] = verb.fn.ostree_object_name_deserialize(key)
    return [`${checksum}.${type}`, { checksum, type }] as const
  })
  table.close()
  return new Map(objects)
}
