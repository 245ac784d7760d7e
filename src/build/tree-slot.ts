import { dirname, join } from 'node:path'
import type { TreeRef } from '../bundle/tree-manifest.ts'
import { roomOfSlot } from '../bundle/tree-room.ts'
import { PineError } from '../core/error.ts'
import { describeRoom, fits, type Room, sumOf } from '../core/room.ts'
import { withTempDir } from '../host/files.ts'
import { makeFolder } from '../host/folder.ts'
import type { Host } from '../host/host.ts'
import { type Ostree, type OstreeRepo, withOstree } from '../ostree/ostree.ts'
import { checkoutSlot, problemOfSlot, SLOT_FOLDER, slotRepo, type TreeFiles } from '../ostree/tree-slot.ts'
import {
  describeCommit,
  measureTree,
  ofCommit,
  openRepo,
  requirePrepared,
  requireRoot,
  treeRefOf,
} from './commit.ts'
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
  /** What is made beside the slot, on the same file system. */
  beside?: Room
  /** Told, for a person, what begins. */
  onStep: (label: string) => void
}

/** Its commit, and what the objects of that take. */
interface Filled {
  commit: string
  bytes: number
}

/** Makes a tree slot of a commit. Throws `OSTREE_*`, `TREE_INVALID`; `IMAGE_TOO_BIG` before anything is written. */
export async function fillSlot(
  host: Host,
  ostree: Ostree,
  { ostree: path, ref, slot, files, beside, onStep }: Filling,
): Promise<Filled> {
  const repo = await openRepo(ostree, path)
  const { commit } = (await describeCommit(repo, ref)).ostree
  const tree = treeRefOf(commit, await measureTree(repo, commit))
  await requireRoom(host, { slot, files, ...(beside && { beside }), tree, repo, path })
  const { bytes } = tree
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

interface Placing extends Pick<Filling, 'slot' | 'files' | 'beside'> {
  tree: TreeRef
  repo: OstreeRepo
  /** Of the repository. */
  path: string
}

/** Throws `IMAGE_TOO_BIG`. */
async function requireRoom(host: Host, placing: Placing): Promise<void> {
  const { slot, files, beside, tree, repo, path } = placing
  const on = await nearestFolder(host, slot)
  const objects = (await canLink(host, path, on))
    ? (await measureTree(repo, tree.commit, tree.commit)).fresh
    : tree
  const needed = sumOf([objects, roomOfSlot(tree, files), ...(beside ? [beside] : [])])
  const free = { bytes: await host.freeBytes(on), inodes: await host.freeInodes(on) }
  if (fits(needed, free)) return
  throw new PineError(
    'IMAGE_TOO_BIG',
    `commit ${tree.commit.slice(0, 12)} needs ${describeRoom(needed)}, the file system of ${on} has ${describeRoom(free)} free`,
    { hint: 'make room there, or make the tree smaller' },
  )
}

/** The slot is not there yet. */
async function nearestFolder(host: Host, path: string): Promise<string> {
  const isThere = (await host.kindOf(path)) !== undefined
  return isThere ? path : await nearestFolder(host, dirname(path))
}

/** libostree links objects of a repository of the same kind, on the same file system: then they take nothing. */
async function canLink(host: Host, repo: string, on: string): Promise<boolean> {
  const config = await host.readFile(join(repo, 'config'))
  if (!/^mode=bare$/m.test(String(config))) return false
  const [one, other] = (await host.exec('stat', ['-c', '%d', repo, on])).trim().split('\n')
  return one === other
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
      fillSlot(host, ostree, { ostree: repo, ref, slot: folder, files: 'link', onStep }),
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
