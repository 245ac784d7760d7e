import { dirname, join } from 'node:path'
import { FORMAT_VERSION } from '../bundle/header.ts'
import {
  encodeManifest,
  type StoredSegment,
  type TreeManifest,
  type TreeVariant,
} from '../bundle/manifest.ts'
import { writeBundle } from '../bundle/writer.ts'
import { PineError } from '../core/error.ts'
import { readParts } from '../core/region.ts'
import { withTempDir } from '../host/files.ts'
import type { Host } from '../host/host.ts'
import { nativeHashing } from '../host/native.ts'
import type { OstreeRepo } from '../ostree/ostree.ts'
import { signManifest } from '../trust/verify.ts'
import type { BundleRequest } from './bundle.ts'
import { describeCommit, withRepo } from './commit.ts'
import { writeWhole } from './whole-file.ts'

/** `from` and `to` are commits of the repository, by any name. */
export interface TreeBundleRequest
  extends Omit<BundleRequest, 'source' | 'effort' | 'changes' | 'onProgress'> {
  repo: string
  /** Told, for a person, what begins. */
  onStep: (label: string) => void
}

export interface BuiltTreeBundle {
  manifest: TreeManifest
  bytes: number
}

/** A part of a static delta is unpacked to at most 32 MiB, or to a file that is larger, and LZMA looks 32 MiB back. */
const APPLY_MEMORY_BYTES = 96 * 1024 * 1024

/**
 * Makes and signs a bundle of OSTree static deltas; the same repository and request give the same bytes. The file appears whole
 * or not at all. Throws `OSTREE_*`, `TREE_INVALID`.
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
  const { from, full, to, onStep, compatible, version, epoch, created, expires } = request
  const source = await describeCommit(repo, to)
  const { commit } = source.ostree
  const { bytes: treeBytes } = await repo.measure({ rev: commit })
  const sources = [...from, ...(full || from.length === 0 ? [null] : [])]
  const variants: TreeVariant[] = []
  for (const [index, rev] of sources.entries()) {
    onStep(rev === null ? `make the full delta to ${to}` : `make the delta from ${rev} to ${to}`)
    const base = rev === null ? undefined : (await describeCommit(repo, rev)).ostree.commit
    if (base === commit) throw sameCommit(rev ?? to, to)
    const file = join(dir, String(index))
    await repo.makeDelta({ from: base ?? null, to: commit, file, timestamp: created })
    const { newBytes } = await repo.measure({ rev: commit, ...(base !== undefined && { base }) })
    const segments = await segmentsOf(host, file)
    const shape = { newBytes, memoryBytes: APPLY_MEMORY_BYTES, segments }
    variants.push({ ...shape, ...(base !== undefined && { base: { commit: base } }) })
  }
  const manifest: TreeManifest = {
    format: FORMAT_VERSION,
    ...{ compatible, version, epoch, created },
    ...(expires !== undefined && { expires }),
    tree: { commit, bytes: treeBytes },
    variants,
    source,
  }
  return { manifest, bytes: await writeFile(host, { request, manifest, dir }) }
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

async function writeFile(
  host: Host,
  { request, manifest, dir }: Pick<Assembly, 'request' | 'dir'> & { manifest: TreeManifest },
): Promise<number> {
  const manifestBytes = encodeManifest(manifest)
  const signatures = request.keys.map((key) => signManifest(manifestBytes, key))
  const payload = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
    for (const index of manifest.variants.keys()) yield* host.readSource(join(dir, String(index)))
  }
  const parts = { manifest, signatures, keyLists: request.keyLists, payload: payload() }
  return await writeWhole(host, request.out, (append) => writeBundle(parts, append))
}
