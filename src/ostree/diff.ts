import { Handle } from './handle.ts'
import type { Request } from './requests.ts'
import type { Repo, Verb } from './verb.ts'

/** Paths from the root, sorted. Below a folder that is new, everything is. */
export interface TreeDiff {
  readonly modified: readonly string[]
  readonly removed: readonly string[]
  readonly added: readonly string[]
}

/** struct _GPtrArray, glib/garray.h: the pointers, and how many. */
const ARRAY_BYTES = 16
/** struct _OstreeDiffItem, ostree-diff.h. */
const ITEM_TARGET = 16

/** What differs between two commits, extended attributes too. */
export async function diffCommits(verb: Verb, repo: Repo, { from, to }: Request<'diff'>): Promise<TreeDiff> {
  const { fn, memory } = verb
  const [oldRoot] = await fn.ostree_repo_read_commit(repo, from)
  const [newRoot] = await fn.ostree_repo_read_commit(repo, to)
  const [items, removed, added] = [fn.g_ptr_array_new(), fn.g_ptr_array_new(), fn.g_ptr_array_new()]
  try {
    await fn.ostree_diff_dirs(0, oldRoot, newRoot, items, removed, added)
    const targets = elements(verb, items).map((item) => Number(memory.word(item + ITEM_TARGET)))
    return {
      modified: pathsIn(verb, newRoot, targets),
      removed: pathsIn(verb, oldRoot, elements(verb, removed)),
      added: pathsIn(verb, newRoot, elements(verb, added)),
    }
  } finally {
    for (const item of elements(verb, items)) fn.ostree_diff_item_unref(item)
    for (const file of [removed, added].flatMap((array) => elements(verb, array))) fn.g_object_unref(file)
  }
}

function pathsIn({ fn }: Verb, root: Handle<'GFile'>, files: readonly number[]): string[] {
  return files.map((file) => `/${fn.g_file_get_relative_path(root, file) ?? ''}`).sort()
}

function elements({ memory }: Verb, array: Handle<'GPtrArray'>): number[] {
  const fields = memory.read(Handle.address(array, 'GPtrArray'), ARRAY_BYTES)
  return memory.addresses(Number(fields.readBigUInt64LE(0)), fields.readUInt32LE(8))
}
