import { readVariant } from './variant.ts'
import type { Repo, Verb } from './verb.ts'

/** OstreeObjectType, ostree-core.h */
const TYPES = { dirTree: 2, commit: 4 } as const
/** In OSTREE_COMMIT_GVARIANT_FORMAT, ostree-core.h: checksums of the root's entries, and of what it is itself. */
const ROOT = { tree: 6, meta: 7 } as const

/** A folder of a commit by its checksums: of its entries, and of what it is itself. */
export interface Folder {
  readonly tree: string
  readonly meta: string
}

interface Entries {
  readonly files: readonly { readonly name: string; readonly checksum: string }[]
  readonly folders: readonly (Folder & { readonly name: string })[]
}

export async function rootOf(verb: Verb, repo: Repo, commit: string): Promise<Folder> {
  const fields = await load(verb, repo, TYPES.commit, commit)
  return { tree: hexOf(fields[ROOT.tree]), meta: hexOf(fields[ROOT.meta]) }
}

export async function entriesIn(verb: Verb, repo: Repo, tree: string): Promise<Entries> {
  const [files = [], folders = []] = (await load(verb, repo, TYPES.dirTree, tree)).map(rowsOf)
  return {
    files: files.map(([name, checksum]) => ({ name: String(name), checksum: hexOf(checksum) })),
    folders: folders.map(([name, below, own]) => ({
      name: String(name),
      tree: hexOf(below),
      meta: hexOf(own),
    })),
  }
}

async function load({ fn, memory }: Verb, repo: Repo, type: number, checksum: string): Promise<unknown[]> {
  const variant = await fn.ostree_repo_load_variant(repo, type, checksum)
  const value = readVariant({ fn, memory }, variant)
  variant.close()
  return Array.isArray(value) ? value : []
}

function rowsOf(value: unknown): unknown[][] {
  return Array.isArray(value) ? value.filter(Array.isArray) : []
}

function hexOf(checksum: unknown): string {
  return checksum instanceof Uint8Array ? Buffer.from(checksum).toString('hex') : ''
}
