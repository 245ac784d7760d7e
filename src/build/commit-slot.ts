import { dirname, join } from 'node:path'
import { PineError } from '../core/error.ts'
import { withTempDir } from '../host/files.ts'
import type { Host } from '../host/host.ts'
import { describeCommit, ofCommit, requirePrepared, requireRoot, withRepo } from './commit.ts'
import { requireSecretsKept } from './secrets.ts'

/** Of a tree slot, where its own repository is. */
export const SLOT_REPO = '.pine/repo'
/** What keeps the commit in there. */
const SLOT_REF = 'slot'

/** What src/system/grub.cfg reads. */
const LOADED = ['boot/vmlinuz', 'boot/initrd.img']

/** A commit by any of its names. */
export interface CommitOrigin {
  /** Path of the repository. */
  ostree: string
  ref: string
}

export interface TreeSlot {
  /** The tree, with a repository of its commit in it, whose files it shares. */
  folder: string
  commit: string
  /** Of its files. */
  bytes: number
}

/** Makes the content of a tree slot in a folder of `workDir`, for `use`. Throws `NOT_ROOT`, `OSTREE_*`, `TREE_INVALID`. */
export async function withTreeSlot<T>(
  host: Host,
  { ostree, ref, workDir }: CommitOrigin & { workDir: string },
  use: (slot: TreeSlot) => Promise<T>,
): Promise<T> {
  requireRoot()
  return await withTempDir(async (dir) => {
    const folder = join(dir, 'slot')
    const commit = await checkOut({ ostree, ref }, { folder, repository: join(dir, 'repo') })
    await ofCommit({ rev: ref, tree: folder }, () => requireStarts(host, folder))
    const used = await host.exec('du', ['--summarize', '--block-size=1', '--apparent-size', folder])
    await host.exec('mkdir', [join(folder, dirname(SLOT_REPO))])
    await host.rename(join(dir, 'repo'), join(folder, SLOT_REPO))
    return await use({ folder, commit, bytes: Number.parseInt(used, 10) })
  }, workDir)
}

/** Its files are links to those of the new repository. */
async function checkOut(
  { ostree, ref }: CommitOrigin,
  { folder, repository }: { folder: string; repository: string },
): Promise<string> {
  return await withRepo(ostree, async (source, session) => {
    const { commit } = (await describeCommit(source, ref)).ostree
    const repo = await session.init({ path: repository, mode: 'bare' })
    await repo.pullLocal({ from: ostree, refs: [commit] })
    await repo.setRef({ ref: SLOT_REF, commit })
    await repo.checkout({ rev: commit, to: folder, files: 'link' })
    return commit
  })
}

/** Throws `TREE_INVALID`. */
async function requireStarts(host: Host, tree: string): Promise<void> {
  await requirePrepared(host, tree)
  await requireSecretsKept(host, tree)
  for (const file of LOADED) {
    if ((await host.kindOf(join(tree, file))) === 'file') continue
    throw new PineError('TREE_INVALID', `${tree} has no /${file}, which the loader starts`)
  }
}
