import { dirname, join } from 'node:path'
import { FORMAT_VERSION } from '../bundle/header.ts'
import type { StoredSegment } from '../bundle/manifest-parts.ts'
import type { TreeManifest, TreeVariant } from '../bundle/tree-manifest.ts'
import { PineError } from '../core/error.ts'
import { readParts } from '../core/region.ts'
import { withTempDir } from '../host/files.ts'
import type { Host } from '../host/host.ts'
import { nativeHashing } from '../host/native.ts'
import type { Measured } from '../ostree/measure.ts'
import type { OstreeRepo } from '../ostree/ostree.ts'
import { type BundleRequest, writeBundleFile } from './bundle.ts'
import { describeCommit, measureTree, treeRefOf, withRepo } from './commit.ts'
import { listCommitChanges } from './tree-changes.ts'

/** `from` and `to` are commits of the repository, by any name. */
export interface TreeBundleRequest extends Omit<BundleRequest, 'source' | 'effort' | 'onProgress'> {
  repo: string
  /** Told, for a person, what begins. */
  onStep: (label: string) => void
}

export interface BuiltTreeBundle {
  manifest: TreeManifest
  bytes: number
}

const MiB = 1024 * 1024
/** `max-chunk-size` of ostree-static-delta: a part is unpacked to no more, but for a file that is larger. */
const PART_BYTES = 32 * MiB
/** The process that calls libostree, without any part, and what it keeps of each object and folder. */
const CALLING_BYTES = 24 * MiB
const INODE_BYTES = 1536

/**
 * Makes and signs a bundle of OSTree static deltas; the same repository and request give the same bytes. The file appears whole
 * or not at all. With `changes` it takes root. Throws `OSTREE_*`, `TREE_INVALID`, `NOT_ROOT`.
 */
export async function createTreeBundle(host: Host, request: TreeBundleRequest): Promise<BuiltTreeBundle> {
  return await withRepo(request.repo, (repo) =>
    withTempDir((dir) => assemble(host, { request, repo, dir }), dirname(request.out)),
  )
}

interface Assembly {
  request: TreeBundleRequest
  repo: OstreeRepo
  dir: string
}

async function assemble(host: Host, { request, repo, dir }: Assembly): Promise<BuiltTreeBundle> {
  const { from, full, to, compatible, version, epoch, created, expires } = request
  const source = await describeCommit(repo, to)
  const { commit } = source.ostree
  const tree = treeRefOf(commit, await measureTree(repo, commit))
  const made: TreeVariant[] = []
  for (const rev of [...from, ...(full || from.length === 0 ? [undefined] : [])]) {
    const delta = { rev, commit, file: join(dir, String(made.length)) }
    made.push(await makeVariant(host, { request, repo, delta }))
  }
  const lists = request.changes ? await listCommitChanges(host, { ...request, dir }) : []
  const variants = made.map((variant, index) => {
    const changes = lists[index]?.entry
    return { ...variant, ...(changes && { changes }) }
  })
  const manifest: TreeManifest = {
    format: FORMAT_VERSION,
    ...{ compatible, version, epoch, created },
    ...(expires !== undefined && { expires }),
    tree,
    variants,
    source,
  }
  const files = [...variants.keys()].map((index) => join(dir, String(index)))
  const packed = lists.map((list) => list.packed)
  return { manifest, bytes: await writeBundleFile(host, { request, manifest, files, lists: packed }) }
}

interface Delta {
  /** What it is from. */
  rev: string | undefined
  commit: string
  file: string
}

async function makeVariant(
  host: Host,
  { request, repo, delta }: Omit<Assembly, 'dir'> & { delta: Delta },
): Promise<TreeVariant> {
  const { to, onStep, created } = request
  const { rev, commit, file } = delta
  onStep(rev === undefined ? `make the full delta to ${to}` : `make the delta from ${rev} to ${to}`)
  const base = rev === undefined ? undefined : (await describeCommit(repo, rev)).ostree.commit
  if (base === commit) throw sameCommit(rev ?? to, to)
  await repo.makeDelta({ from: base ?? null, to: commit, file, timestamp: created })
  const measured = await measureTree(repo, commit, base)
  const { fresh } = measured
  return {
    ...(base !== undefined && { base: { commit: base, ...(await measureTree(repo, base)).tree } }),
    ...{
      newBytes: fresh.bytes,
      newInodes: fresh.inodes,
      memoryBytes: memoryFor(measured),
      segments: await segmentsOf(host, file),
    },
  }
}

/** As measured, docs/trees.md: one part is in memory at a time, with what unpacks it. */
function memoryFor({ tree, fresh, longestBytes }: Measured): number {
  const part = Math.min(fresh.bytes, Math.max(PART_BYTES, longestBytes))
  return CALLING_BYTES + tree.inodes * INODE_BYTES + Math.ceil(part * 1.1)
}

function sameCommit(from: string, to: string): PineError {
  return new PineError('USAGE', `${from} and ${to} are the same commit: there is nothing to update`)
}

async function segmentsOf(host: Host, file: string): Promise<StoredSegment[]> {
  const hashing = nativeHashing()
  const segments: StoredSegment[] = []
  const region = await host.openRegion(file)
  try {
    for await (const { part } of readParts(region, region.bytes))
      segments.push({ bytes: part.length, digest: hashing.blake3(part).toString('hex') })
  } finally {
    await region.close()
  }
  return segments
}
