import { lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { isErrno, PineError } from '../core/error.ts'
import { entriesIn, type Folder, rootOf } from './commit-tree.ts'
import { resolveRev } from './refs.ts'
import type { Request } from './requests.ts'
import { AT_FDCWD, type Repo, type Verb } from './verb.ts'

export interface TreeProblem {
  /** From the root. */
  readonly path: string
  readonly found: string
}

/** OSTREE_OBJECT_TYPE_FILE, ostree-core.h */
const FILE = 1
/** Of a tree that is another one altogether, a few say enough. */
const MAX_PROBLEMS = 20

/**
 * What differs between a commit and a folder: content, mode, owner, extended attributes, targets of links, what is missing and
 * what is there beside it. Empty where the folder is what a checkout of the commit makes.
 */
export async function compare(verb: Verb, repo: Repo, request: Request<'compare'>): Promise<TreeProblem[]> {
  const { rev, folder, except, objects } = request
  const comparison = { verb, repo, folder, except, objects, problems: [], files: 0 }
  await compareFolder(comparison, '/', await rootOf(verb, repo, await resolveRev(verb, repo, rev)))
  return comparison.problems
}

interface Comparison {
  readonly verb: Verb
  readonly repo: Repo
  readonly folder: string
  readonly except: readonly string[]
  readonly objects: string | undefined
  readonly problems: TreeProblem[]
  files: number
}

async function compareFolder(comparison: Comparison, path: string, { tree, meta }: Folder): Promise<void> {
  const { verb, repo, folder, problems } = comparison
  if (problems.length >= MAX_PROBLEMS) return
  await compareEntry(comparison, path, meta)
  const found = await entriesOf(comparison, path)
  if (found === undefined) return void problems.push({ path, found: `no folder in ${folder}` })
  const { files, folders } = await entriesIn(verb, repo, tree)
  const expected = new Set([...files, ...folders].map(({ name }) => name))
  for (const name of found)
    if (!expected.has(name)) problems.push({ path: join(path, name), found: 'not in the commit' })
  for (const { name, checksum } of files) await compareEntry(comparison, join(path, name), checksum)
  for (const { name, ...below } of folders) await compareFolder(comparison, join(path, name), below)
}

/** Undefined where it is no folder. */
async function entriesOf({ folder, except }: Comparison, path: string): Promise<string[] | undefined> {
  try {
    const names = await readdir(join(folder, path))
    return path === '/' ? names.filter((name) => !except.includes(name)) : names
  } catch (error) {
    if (isErrno(error, 'ENOENT') || isErrno(error, 'ENOTDIR')) return undefined
    throw error
  }
}

async function compareEntry(comparison: Comparison, path: string, checksum: string): Promise<void> {
  const { verb, folder, problems } = comparison
  if (problems.length >= MAX_PROBLEMS) return
  comparison.files += 1
  verb.progress(comparison.files, comparison.files)
  if (await isObject(comparison, path, checksum)) return
  try {
    // As a `file` libostree takes a folder for what it is, and gives the checksum of its owner, mode and attributes.
    const found = await verb.fn.ostree_checksum_file_at(AT_FDCWD, join(folder, path), FILE, 0)
    if (found === checksum) return
    problems.push({ path, found: `${found.slice(0, 12)}, expected ${checksum.slice(0, 12)}` })
  } catch (error) {
    if (!(error instanceof PineError)) throw error
    problems.push({ path, found: error.message })
  }
}

/** The file is the object itself, under another name: content, owner, mode and attributes are those of one inode. */
async function isObject({ folder, objects }: Comparison, path: string, checksum: string): Promise<boolean> {
  if (objects === undefined) return false
  const object = join(objects, checksum.slice(0, 2), `${checksum.slice(2)}.file`)
  try {
    const [one, other] = await Promise.all([lstat(join(folder, path)), lstat(object)])
    return one.isFile() && one.dev === other.dev && one.ino === other.ino
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false
    throw error
  }
}
