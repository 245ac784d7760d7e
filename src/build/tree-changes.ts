import { join } from 'node:path'
import { packChanges } from '../bundle/changes.ts'
import type { SegmentEntry } from '../bundle/manifest-parts.ts'
import { listChangesOf } from '../diff/changes.ts'
import { nativeCodecs } from '../host/delta-codecs.ts'
import type { Host } from '../host/host.ts'
import { buildCommitImages, type CommitImages } from './commit.ts'

/** The list as it stands in a bundle, and what the manifest says of it. */
export interface PackedList {
  packed: Buffer
  entry: SegmentEntry
}

export interface CommitChanges extends Pick<CommitImages, 'repo' | 'onStep'> {
  from: readonly string[]
  to: string
  /** On a disk: for an image of each commit. */
  dir: string
}

/**
 * What changed from each commit to the last, as `bundle create` lists it of images: an image of each commit is made, and looked
 * into. Throws what `buildCommitImages` throws.
 */
export async function listCommitChanges(
  host: Host,
  { repo, from, to, dir, onStep }: CommitChanges,
): Promise<PackedList[]> {
  if (from.length === 0) return []
  const images = [...from, to].map((rev, index) => ({ rev, out: join(dir, `${index}.ext4`) }))
  await buildCommitImages(host, { repo, images, shape: { fs: 'ext4', compression: 'none' }, onStep })
  const last = join(dir, `${from.length}.ext4`)
  const lists: PackedList[] = []
  for (const [index, rev] of from.entries()) {
    onStep(`list what changed from ${rev} to ${to}`)
    lists.push(await compareImages(host, join(dir, `${index}.ext4`), last))
  }
  return lists
}

async function compareImages(host: Host, old: string, now: string): Promise<PackedList> {
  const codecs = nativeCodecs()
  const [before, after] = [await host.openRegion(old), await host.openRegion(now)]
  try {
    const list = await listChangesOf(before, after, codecs)
    if (list === undefined) throw new Error('an ext4 that was just made has no names')
    return await packChanges(list, codecs)
  } finally {
    await before.close()
    await after.close()
  }
}
