import { readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { type Cost, measure, run } from './measure.ts'
import { type Case, type Ends, imagesOf, TARGETS } from './pair.ts'
import type { Row } from './row.ts'

/** A tool that one would take instead. */
export interface Peer {
  readonly tool: string
  /** Prints its version. */
  readonly version: readonly string[]
  readonly cases: readonly Case[]
  /** Works in an empty folder; throws where the tool fails or does not give back the target. */
  readonly run: (work: string, ends: Ends) => Pick<Row, 'bytes' | 'create' | 'apply'>
  /** Of trees instead of images. */
  readonly ofTrees?: boolean
}

const UPDATES: readonly Case[] = (['zstd.sqfs', 'gzip.sqfs', 'lz4.erofs', 'ext4'] as const).map((image) => ({
  step: 'update',
  image,
}))
const TREES: readonly Case[] = (['update', 'hotfix'] as const).map((step) => ({ step, image: 'zstd.sqfs' }))
const RAW: readonly Case[] = (['zstd.sqfs', 'raw.erofs', 'ext4'] as const).map((image) => ({
  step: 'update',
  image,
}))

export const PEERS: readonly Peer[] = [
  {
    tool: 'OSTree static delta (tree)',
    version: ['ostree', '--version'],
    cases: TREES,
    run: ostree,
    ofTrees: true,
  },
  { tool: 'xdelta3 -9 -S lzma', version: ['xdelta3', '-V'], cases: UPDATES, run: xdelta },
  { tool: 'HDiffPatch -m-3, zstd-21', version: ['hdiffz', '-v'], cases: RAW, run: hdiff },
  { tool: 'casync', version: ['casync', '--version'], cases: UPDATES, run: casync },
  { tool: 'zstd -19 --patch-from', version: ['zstd', '--version'], cases: UPDATES, run: zstd },
]

/** What the peer compares: two files, or two folders. */
export function endsOf(peer: Peer, pair: string, of: Case): Ends {
  if (peer.ofTrees !== true) return imagesOf(pair, of)
  return { from: join(pair, 'old'), to: join(pair, TARGETS[of.step]) }
}

function zstd(work: string, { from, to }: Ends) {
  const [delta, out] = [join(work, 'delta'), join(work, 'out')]
  const create = measure(['zstd', '-q', '-19', '--long=31', `--patch-from=${from}`, to, '-o', delta])
  const memory = ['--long=31', '--memory=2048MB']
  const apply = measure(['zstd', '-q', '-d', ...memory, `--patch-from=${from}`, delta, '-o', out])
  return checked({ to, out, delta }, create, apply)
}

function xdelta(work: string, { from, to }: Ends) {
  const [delta, out] = [join(work, 'delta'), join(work, 'out')]
  // As much of the base in memory as it has: the best the tool can do.
  const window = ['-B', '1073741824', '-s', from]
  const create = measure(['xdelta3', '-e', '-9', '-S', 'lzma', ...window, to, delta])
  const apply = measure(['xdelta3', '-d', ...window, delta, out])
  return checked({ to, out, delta }, create, apply)
}

function hdiff(work: string, { from, to }: Ends) {
  const [delta, out] = [join(work, 'delta'), join(work, 'out')]
  const create = measure(['hdiffz', '-d', '-m-3', '-c-zstd-21-24', from, to, delta])
  const apply = measure(['hpatchz', from, delta, out])
  return checked({ to, out, delta }, create, apply)
}

function checked(files: { to: string; out: string; delta: string }, create: Cost, apply: Cost) {
  run(['cmp', files.to, files.out])
  return { bytes: statSync(files.delta).size, create, apply }
}

function casync(work: string, { from, to }: Ends) {
  const [ours, theirs] = [join(work, 'host'), join(work, 'server')]
  const [base, index, out] = [join(work, 'base.caibx'), join(work, 'index.caibx'), join(work, 'out')]
  run(['casync', 'make', `--store=${ours}`, base, from])
  const create = measure(['casync', 'make', `--store=${theirs}`, index, to])
  const known = new Set(chunksIn(ours))
  const missing = chunksIn(theirs).filter((chunk) => !known.has(chunk))
  const fetched = missing.reduce((sum, chunk) => sum + statSync(join(theirs, chunk)).size, 0)
  rmSync(ours, { recursive: true })
  const apply = measure(['casync', 'extract', `--store=${theirs}`, `--seed=${from}`, index, out])
  run(['cmp', to, out])
  return { bytes: fetched + statSync(index).size, create, apply }
}

function chunksIn(store: string): string[] {
  return readdirSync(store, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.cacnk'))
}

function ostree(work: string, { from, to }: Ends) {
  const [repo, host, delta] = [join(work, 'repo'), join(work, 'host'), join(work, 'delta')]
  const inRepo = (...args: string[]) => ['ostree', `--repo=${repo}`, ...args]
  const onHost = (...args: string[]) => ['ostree', `--repo=${host}`, ...args]
  run(inRepo('init', '--mode=archive'))
  for (const tree of [from, to])
    run(inRepo('commit', '-b', 'os', `--tree=dir=${tree}`, '--timestamp=@1700000000'))
  const generate = ['--from=os^', '--to=os', '--inline', '--min-fallback-size=0', `--filename=${delta}`]
  const create = measure(inRepo('static-delta', 'generate', 'os', ...generate))
  run(onHost('init', '--mode=bare'))
  run(onHost('pull-local', repo, run(inRepo('rev-parse', 'os^')).trim()))
  const apply = measure(onHost('static-delta', 'apply-offline', delta))
  run(onHost('fsck', '--quiet', run(inRepo('rev-parse', 'os')).trim()))
  return { bytes: statSync(delta).size, create, apply }
}
