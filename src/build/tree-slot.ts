import { join } from 'node:path'
import { PineError } from '../core/error.ts'
import { withTempDir } from '../host/files.ts'
import { makeFolder } from '../host/folder.ts'
import type { Host } from '../host/host.ts'
import { type Ostree, withOstree } from '../ostree/ostree.ts'
import { checkoutSlot, problemOfSlot, SLOT_FOLDER, slotRepo, type TreeFiles } from '../ostree/tree-slot.ts'
import { describeCommit, measureTree, ofCommit, openRepo, requirePrepared, requireRoot } from './commit.ts'
import { requireSecretsKept } from './secrets.ts'

/** A commit by any of its names. */
export interface CommitOrigin {
  /** Path of the repository. */
  ostree: string
  ref: string
}

interface Filling extends CommitOrigin {
  /** The folder that is made. */
  slot: string
  files: TreeFiles
  /** Told, for a person, what begins. */
  onStep: (label: string) => void
}

/** Its commit, and what the objects of that take. */
interface Filled {
  commit: string
  bytes: number
}

/** Makes a tree slot of a commit. Throws `OSTREE_*`, `TREE_INVALID`. */
export async function fillSlot(
  ostree: Ostree,
  { ostree: path, ref, slot, files, onStep }: Filling,
): Promise<Filled> {
  const repo = await openRepo(ostree, path)
  const { commit } = (await describeCommit(repo, ref)).ostree
  const { bytes } = (await measureTree(repo, commit)).tree
  await makeFolder(join(slot, SLOT_FOLDER), 0o700)
  const own = await ostree.init({ path: slotRepo(slot), mode: 'bare', flush: false })
  onStep(`take ${ref} from the repository`)
  await own.pullLocal({ from: path, refs: [commit] })
  onStep('make the tree of slot a')
  await checkoutSlot(own, { slot, commit, files })
  onStep('compare slot a with the commit')
  const found = await problemOfSlot(ostree, { slot, commit })
  if (found === undefined) return { commit, bytes }
  throw new PineError(
    'TREE_INVALID',
    `the tree of commit ${commit.slice(0, 12)} came out different: ${found}`,
    {
      hint: 'does the file system keep owners and extended attributes?',
    },
  )
}

/** Makes the slot of a disk in a folder of `workDir`, for `use`. Throws `NOT_ROOT`, `OSTREE_*`, `TREE_INVALID`. */
export async function withTreeSlot<T>(
  host: Host,
  { ostree: repo, ref, workDir, onStep }: CommitOrigin & Pick<Filling, 'onStep'> & { workDir: string },
  use: (slot: Filled & { folder: string }) => Promise<T>,
): Promise<T> {
  requireRoot()
  return await withTempDir(async (dir) => {
    const folder = join(dir, 'slot')
    const filled = await withOstree((ostree) =>
      fillSlot(ostree, { ostree: repo, ref, slot: folder, files: 'link', onStep }),
    )
    await ofCommit({ rev: ref, tree: folder }, () => requireStarts(host, folder))
    return await use({ folder, ...filled })
  }, workDir)
}

/** What src/system/grub.cfg reads. */
const LOADED = ['boot/vmlinuz', 'boot/initrd.img']

/** Throws `TREE_INVALID`. */
async function requireStarts(host: Host, tree: string): Promise<void> {
  await requirePrepared(host, tree)
  await requireSecretsKept(host, tree)
  for (const file of LOADED) {
    if ((await host.kindOf(join(tree, file))) === 'file') continue
    throw new PineError('TREE_INVALID', `${tree} has no /${file}, which the loader starts`)
  }
}
