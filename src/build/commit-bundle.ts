import { dirname, join } from 'node:path'
import { withTempDir } from '../host/files.ts'
import type { Host } from '../host/host.ts'
import { type BuiltBundle, type BundleRequest, createBundle } from './bundle.ts'
import { buildCommitImages, type CommitImages } from './commit.ts'

/** `from` and `to` are commits, by any name. The images have to come out as the hosts' own, so `shape` is theirs. */
export interface CommitBundleRequest
  extends Omit<BundleRequest, 'source'>,
    Pick<CommitImages, 'repo' | 'shape' | 'onStep'> {}

/** The bundle that `createBundle` makes of the images of these commits; it says which one it leads to. */
export async function createCommitBundle(host: Host, request: CommitBundleRequest): Promise<BuiltBundle> {
  const { from, to, repo, shape, onStep } = request
  return await withTempDir(async (dir) => {
    const images = [...from, to].map((rev, index) => ({ rev, out: join(dir, `${index}.img`) }))
    const sources = await buildCommitImages(host, { repo, images, shape, onStep })
    const paths = images.map(({ out }) => out)
    const built = await createBundle(host, {
      ...request,
      from: paths.slice(0, from.length),
      to: paths[from.length] ?? '',
      source: sources.at(-1),
    })
    return { ...built, variants: built.variants.map((report, index) => ({ ...report, from: from[index] })) }
  }, dirname(request.out))
}
