import { dirname, join } from 'node:path'
import { type Source, sourceOf } from '../bundle/source.ts'
import type { TreeRef } from '../bundle/tree-manifest.ts'
import { PineError } from '../core/error.ts'
import { withTempDir } from '../host/files.ts'
import type { Host } from '../host/host.ts'
import type { Measured } from '../ostree/measure.ts'
import { type Ostree, type OstreeRepo, withOstree } from '../ostree/ostree.ts'
import { SLOT_FOLDER } from '../ostree/tree-slot.ts'
import { buildImage, type ImageShape } from './image.ts'

export interface CommitImages {
  /** Path of the repository. */
  repo: string
  images: readonly CommitImage[]
  shape: ImageShape
  /** Told, for a person, what begins. */
  onStep: (label: string) => void
}

export interface CommitImage {
  /** A ref, a commit, or the start of one. */
  rev: string
  out: string
}

/**
 * Makes an image of each commit, one after the other, and says what they were made of. A commit gives the same bytes in every
 * run, whatever the environment: it is what `buildImage` makes of its tree with all times at 0, as OSTree has them. Where it
 * fails, those made before stay. Throws `NOT_ROOT`, `OSTREE_*`, and what `buildImage` throws.
 */
export async function buildCommitImages(host: Host, request: CommitImages): Promise<Source[]> {
  requireRoot()
  return await withRepo(request.repo, async (repo) => {
    const sources: Source[] = []
    for (const image of request.images) sources.push(await buildOne(host, { repo, image, request }))
    return sources
  })
}

/** As for a tar file: owners, modes and extended attributes are part of a release. */
export function requireRoot(): void {
  if (process.getuid?.() === 0) return
  throw new PineError('NOT_ROOT', 'checking out a commit with its owners needs root', {
    hint: 'run the command as root, or give a folder',
  })
}

/** Throws `OSTREE_NOT_FOUND`. */
export async function withRepo<T>(path: string, use: (repo: OstreeRepo) => Promise<T>): Promise<T> {
  return await withOstree(async (ostree) => await use(await openRepo(ostree, path)))
}

/** Throws `OSTREE_NOT_FOUND`. */
export async function openRepo(ostree: Ostree, path: string): Promise<OstreeRepo> {
  try {
    return await ostree.open({ path })
  } catch (error) {
    if (!(error instanceof PineError) || error.code !== 'OSTREE_NOT_FOUND') throw error
    throw new PineError('OSTREE_NOT_FOUND', `${path} is no OSTree repository: ${error.message}`, {
      hint: 'give the folder that has objects and refs in it',
      cause: error,
    })
  }
}

interface OneImage {
  repo: OstreeRepo
  image: CommitImage
  request: CommitImages
}

async function buildOne(host: Host, { repo, image, request }: OneImage): Promise<Source> {
  const { rev, out } = image
  const source = await describeCommit(repo, rev)
  const { commit } = source.ostree
  await withTempDir(async (dir) => {
    const tree = join(dir, 'tree')
    request.onStep(`check out ${rev}`)
    // By its id: a ref may move. Copies, and not links: these would make one file of all that are equal.
    await repo.checkout({ rev: commit, to: tree, files: 'copy' })
    request.onStep(`make the image of ${rev}`)
    await ofCommit({ rev, tree }, async () => {
      await requirePrepared(host, tree)
      // Not SOURCE_DATE_EPOCH: as the base of a later release the image has to come out the same.
      await buildImage(host, { ...request.shape, from: tree, out, epochSeconds: 0 })
    })
  }, dirname(out))
  return source
}

/** Throws `OSTREE_NOT_FOUND` where the commit is not there, or not whole. */
export async function describeCommit(repo: OstreeRepo, rev: string): Promise<Source> {
  const { commit, timestamp, subject, metadata, isPartial } = await repo.show({ rev })
  if (isPartial) {
    throw new PineError('OSTREE_NOT_FOUND', `the repository has commit ${commit} only in part`, {
      hint: 'pull it whole',
    })
  }
  const refs = await repo.refs({})
  const ref = refs[rev] === commit ? rev : undefined
  const version = Object(metadata).version as unknown
  return sourceOf({ commit, ref, timestamp, subject, version })
}

/** What the tree of a commit takes. Throws `TREE_INVALID` where it has what a slot has for itself. */
export async function measureTree(repo: OstreeRepo, rev: string, base?: string): Promise<Measured> {
  const measured = await repo.measure({ rev, ...(base !== undefined && { base }) })
  if (!measured.top.includes(SLOT_FOLDER)) return measured
  throw new PineError(
    'TREE_INVALID',
    `commit ${rev.slice(0, 12)} has a /${SLOT_FOLDER}, where a slot has its repository`,
    {
      hint: 'remove it from the tree, and commit it again',
    },
  )
}

/** As a manifest names it. */
export function treeRefOf(commit: string, { tree, copies }: Measured): TreeRef {
  return { commit, ...tree, copyBytes: copies.bytes, copyInodes: copies.inodes }
}

/** What can be seen of a tree that would never start; it cannot be prepared any more. Throws `TREE_INVALID`. */
export async function requirePrepared(host: Host, tree: string): Promise<void> {
  const has = async (path: string): Promise<boolean> => (await host.kindOf(join(tree, path))) !== undefined
  if (!(await has('etc')) && (await has('usr/etc'))) {
    throw new PineError('TREE_INVALID', `${tree} has /usr/etc and no /etc, as for "ostree admin deploy"`)
  }
  if ((await has('usr/lib/systemd/systemd')) && !(await has('usr/lib/pine-update/pine-update.cjs'))) {
    throw new PineError('TREE_INVALID', `${tree} has a system without pine-update`)
  }
}

/** Errors name the commit: when somebody reads them, the folder is gone. */
export async function ofCommit(
  { rev, tree }: { rev: string; tree: string },
  make: () => Promise<void>,
): Promise<void> {
  try {
    await make()
  } catch (error) {
    if (!(error instanceof PineError) || error.code !== 'TREE_INVALID') throw error
    const found = error.message.replaceAll(`${tree}/`, '/').replaceAll(tree, 'its tree')
    throw new PineError('TREE_INVALID', `commit ${rev}: ${found}`, {
      hint: 'mend the folder, run "pine-update image prepare" on it, and commit it again',
      cause: error,
    })
  }
}
