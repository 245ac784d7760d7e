import type { FileState } from '../core/file-state.ts'

/** A name in a directory, as `nameOf` gives it; `inode` is the file system's own number for what it names. */
export interface Entry {
  readonly name: string
  readonly inode: number
  readonly kind: 'directory' | 'file' | 'other'
}

export interface FoundFile {
  readonly path: string
  readonly inode: number
}

type FoundEntry = FoundFile & Pick<Entry, 'kind'>

export type ListedEntry = FoundEntry & { readonly state: FileState }

/** Every name, in the order of the directories. A directory met again is not entered. */
async function* walkTree(
  root: number,
  list: (directory: number) => Promise<readonly Entry[]>,
): AsyncGenerator<FoundEntry, void, undefined> {
  const entered = new Set([root])
  // A list instead of recursion: a hostile image nests without end.
  const waiting: FoundFile[] = [{ path: '', inode: root }]
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const folders: FoundFile[] = []
    for (const { name, inode, kind } of await list(next.inode)) {
      if (name === '.' || name === '..') continue
      const found = { path: pathOf(next.path, name), inode, kind }
      yield found
      if (kind !== 'directory' || entered.has(inode)) continue
      entered.add(inode)
      folders.push(found)
    }
    for (const folder of folders.reverse()) waiting.push(folder)
  }
}

/** Every regular file once, by its first path. */
export async function findFiles(
  root: number,
  list: (directory: number) => Promise<readonly Entry[]>,
): Promise<FoundFile[]> {
  const seen = new Set<number>()
  const files: FoundFile[] = []
  for await (const { path, inode, kind } of walkTree(root, list)) {
    if (kind !== 'file' || seen.has(inode)) continue
    seen.add(inode)
    files.push({ path, inode })
  }
  return files
}

/** A name that looks like that of a table is told apart. */
function pathOf(folder: string, name: string): string {
  if (folder === '') return name.startsWith('#') ? `./${name}` : name
  return `${folder}/${name}`
}

/** Every name, and what it stands for. */
export async function listEntries(
  root: number,
  list: (directory: number) => Promise<readonly Entry[]>,
  stateOf: (inode: number) => FileState | Promise<FileState>,
): Promise<ListedEntry[]> {
  const entries: ListedEntry[] = []
  for await (const found of walkTree(root, list))
    entries.push({ ...found, state: await stateOf(found.inode) })
  return entries
}
