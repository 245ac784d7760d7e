import { readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { measureLimited } from './limit.ts'
import { type Cost, measure, run } from './measure.ts'
import { type Case, type Ends, imagesOf } from './pair.ts'
import { attempt, type Result } from './row.ts'
import { checkSlot, dropCache, makeServer, PINE } from './server.ts'

export const OURS = 'pine-update'

export const OUR_CASES: readonly Case[] = [
  { step: 'update', image: 'zstd.sqfs' },
  { step: 'update', image: 'gzip.sqfs' },
  { step: 'update', image: 'xz.sqfs' },
  { step: 'update', image: 'lz4.erofs' },
  { step: 'update', image: 'ext4' },
  { step: 'hotfix', image: 'zstd.sqfs' },
  { step: 'rebuilt', image: 'zstd.sqfs' },
  { step: 'rebuilt', image: 'ext4' },
]

export interface Places {
  /** The trees and images. */
  readonly pair: string
  /** Emptied at the end. */
  readonly work: string
}

/** Makes a bundle and applies it to a server whose other slot is empty, its base in the page cache, as for the peers. */
export function measureOurs({ pair, work }: Places, of: Case): Promise<Result> {
  const ends = imagesOf(pair, of)
  return attempt({ ...of, tool: OURS }, async () => {
    const bundle = bundleOf(work, of)
    rmSync(bundle, { force: true })
    const create = createBundle(work, ends, bundle)
    const apply = of.image === 'lz4.erofs' ? applyToFile : applyBundle
    return { bytes: statSync(bundle).size, create, apply: await apply(work, ends, bundle) }
  })
}

function bundleOf(work: string, { step, image }: Case): string {
  return join(work, `${step}.${image}.bundle`)
}

function createBundle(work: string, { from, to }: Ends, bundle: string): Cost {
  const fixed = ['--release', '2.0', '--compatible', 'bench', '--key', join(work, 'keys/ci.key')]
  return measure([...PINE, 'bundle', 'create', '--from', from, '--to', to, '--out', bundle, ...fixed])
}

async function applyBundle(work: string, { from, to }: Ends, bundle: string): Promise<Cost> {
  const server = await makeServer(work, from)
  const cost = measure([...PINE, 'apply', bundle, ...server.options])
  await checkSlot(server, 'b', to)
  rmSync(server.disk)
  return cost
}

/** No server starts from an erofs, as no loader here reads it: it is only made, in an empty file. */
async function applyToFile(work: string, { from, to }: Ends, bundle: string): Promise<Cost> {
  const slot = join(work, 'slot')
  writeFileSync(slot, '')
  truncateSync(slot, statSync(to).size)
  const key = readFileSync(join(work, 'keys/ci.pub'), 'utf8')
  const cost = measure([
    process.execPath,
    join(process.cwd(), 'dist/apply-probe.cjs'),
    bundle,
    slot,
    key,
    from,
  ])
  run(['cmp', to, slot])
  rmSync(slot)
  return cost
}

/** Applies a bundle that `measureOurs` made, in a memory cgroup that pays for its page cache too. */
export async function applyLimited({ pair, work }: Places, of: Case, limitBytes: number) {
  const { from, to } = imagesOf(pair, of)
  const server = await makeServer(work, from)
  await dropCache(server.disk)
  const result = measureLimited(limitBytes, [...PINE, 'apply', bundleOf(work, of), ...server.options])
  if ('cost' in result) await checkSlot(server, 'b', to)
  rmSync(server.disk)
  return result
}
