/** A name in a directory; `inode` is the file system's own number for what it names. */
export interface Entry {
  readonly name: string
  readonly inode: number
  readonly kind: 'directory' | 'file' | 'other'
}

export interface FoundFile {
  readonly path: string
  readonly inode: number
}

/** Every regular file once, by its first path in the order of the directories. A directory met again is not entered. */
export async function findFiles(
  root: number,
  list: (directory: number) => Promise<readonly Entry[]>,
): Promise<FoundFile[]> {
  const seen = new Set([root])
  const files: FoundFile[] = []
  // A list instead of recursion: a hostile image nests without end.
  const waiting = [{ path: '', inode: root }]
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const folders: FoundFile[] = []
    for (const { name, inode, kind } of await list(next.inode)) {
      if (kind === 'other' || name === '.' || name === '..' || seen.has(inode)) continue
      seen.add(inode)
      const found = { path: pathOf(next.path, name), inode }
      if (kind === 'file') files.push(found)
      else folders.push(found)
    }
    for (const folder of folders.reverse()) waiting.push(folder)
  }
  return files
}

/** A name that looks like that of a table is told apart. */
function pathOf(folder: string, name: string): string {
  if (folder === '') return name.startsWith('#') ? `./${name}` : name
  return `${folder}/${name}`
}
