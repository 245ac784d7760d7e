import type { FileChange } from '../bundle/changes.ts'
import { bytesOfName } from '../core/file-name.ts'
import type { FileState } from '../core/file-state.ts'
import type { TreeEntry } from '../expand/tree.ts'

/** `unread` where the content of one of them cannot be read. */
export type Comparison = 'same' | 'different' | 'unread'

export interface TreeChanges {
  readonly files: readonly FileChange[]
  readonly unread: number
}

/**
 * What was added, removed, or is something else: type, permissions, owner, target, device, or content. The content of two
 * files of equal length is what `compare` says; those of different length need no look.
 */
export async function diffTrees(
  old: readonly TreeEntry[],
  now: readonly TreeEntry[],
  compare: (old: TreeEntry, now: TreeEntry) => Promise<Comparison>,
): Promise<TreeChanges> {
  const before = new Map(old.map((entry) => [entry.path, entry]))
  const after = new Map(now.map((entry) => [entry.path, entry]))
  const files: FileChange[] = []
  let unread = 0
  for (const { path, state } of before.values())
    if (!after.has(path)) files.push({ path, old: state, content: false })
  for (const entry of after.values()) {
    const was = before.get(entry.path)
    const compared = was === undefined ? 'same' : await compareContent(was, entry, compare)
    if (compared === 'unread') unread += 1
    const change = changeOf(was, entry, compared === 'different')
    if (change !== undefined) files.push(change)
  }
  return { files: inOrder(files), unread }
}

async function compareContent(
  was: TreeEntry,
  is: TreeEntry,
  compare: (old: TreeEntry, now: TreeEntry) => Promise<Comparison>,
): Promise<Comparison> {
  if (was.state.type !== 'file' || is.state.type !== 'file') return 'same'
  if (was.state.bytes !== is.state.bytes) return 'different'
  return was.state.bytes === 0 ? 'same' : await compare(was, is)
}

function changeOf(
  was: TreeEntry | undefined,
  { path, state }: TreeEntry,
  content: boolean,
): FileChange | undefined {
  if (was === undefined) return { path, new: state, content: false }
  return content || !areAlike(was.state, state) ? { path, old: was.state, new: state, content } : undefined
}

function areAlike(one: FileState, other: FileState): boolean {
  return (['type', 'mode', 'uid', 'gid', 'bytes', 'target', 'device'] as const).every(
    (field) => one[field] === other[field],
  )
}

function inOrder(files: readonly FileChange[]): FileChange[] {
  return files
    .map((change) => ({ change, bytes: bytesOfName(change.path) }))
    .sort((a, b) => Buffer.compare(a.bytes, b.bytes))
    .map(({ change }) => change)
}
