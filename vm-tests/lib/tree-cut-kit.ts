import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pine, run } from './commands.ts'
import { APPEND, buildSlimTree, keyOf, MADE_FROM, noise } from './power-kit.ts'
import { debianTrees, kept, put } from './release-trees.ts'

/** r2 is what runs, in slot b; r3 is its update, and goes to slot a, which held r1. */
const TREE_RELEASES = ['r1', 'r2', 'r3'] as const
export type TreeRelease = (typeof TREE_RELEASES)[number]

const VERSIONS: Record<TreeRelease, string> = { r1: '1.0.0', r2: '2.0.0', r3: '3.0.0' }

/** What calls libostree, what makes the file system of a slot, and what a tree takes. */
const PACKAGES = ['libostree-1-1:amd64', 'e2fsprogs']

/** As small as it gets: what is not in a slot does not have to be made anew after each cut. */
const SLOT = { from: 'size=192MiB', to: 'size=320MiB' }
const DISK_SIZE = '768M'

/** Enough that their inodes and folders lie in many blocks. */
const GOODS = 400
const GOODS_BYTES = 12 * 1024

/** Nobody writes to these files. */
export interface TreeCutKit {
  /** A disk with slots of ext4, never started: the first start is a trial of r2. */
  disk: string
  /** From r2 to r3. */
  bundle: string
  /** That bundle as a disk, filled up to whole sectors. */
  cargo: string
  /** Folder with the key that it is signed with. */
  keys: string
  commits: Record<TreeRelease, string>
}

/** Made once, then kept in .cache/vm by a digest of everything that goes in. */
export function treeCutKit(): TreeCutKit {
  const debian = join(debianTrees(), 'r1')
  const key = keyOf(debian, [...MADE_FROM, 'tree-cut-kit.ts'])
  const folder = kept('tree-cut-kit', key, (into) => buildKit(debian, into))
  return {
    disk: join(folder, 'disk.img'),
    bundle: join(folder, 'r3.bundle'),
    cargo: join(folder, 'cargo.img'),
    keys: join(folder, 'keys'),
    commits: JSON.parse(readFileSync(join(folder, 'commits.json'), 'utf8')),
  }
}

function buildKit(debian: string, into: string): void {
  const at = (name: string): string => join(into, name)
  pine('key', 'generate', '--out', at('ci'))
  run('install', '-D', at('ci.pub'), at('keys/ci.pub'))
  const r1 = buildSlimTree(debian, into, PACKAGES)
  // A commit holds no devices; the kernel makes those of /dev.
  run('find', join(r1, 'dev'), '-mindepth', '1', '-delete')
  for (const name of ['r2', 'r3']) run('cp', '-a', r1, at(name))
  run('ostree', 'init', `--repo=${at('repo')}`, '--mode=archive')
  run('ostree', 'config', `--repo=${at('repo')}`, 'set', 'core.fsync', 'false')
  const commits = TREE_RELEASES.map((name) => [name, commitTree(at('repo'), at(name), name)])
  writeFileSync(at('commits.json'), JSON.stringify(Object.fromEntries(commits)))
  buildBundle(into, 'r1', 'r2')
  buildBundle(into, 'r2', 'r3')
  run('cp', at('r3.bundle'), at('cargo.img'))
  run('truncate', '--size=%512', at('cargo.img'))
  writeFileSync(
    at('layout.sfdisk'),
    readFileSync('layouts/gpt-bios-tiny.sfdisk', 'utf8').replaceAll(SLOT.from, SLOT.to),
  )
  const shape = ['--layout', at('layout.sfdisk'), '--size', DISK_SIZE, '--append', APPEND]
  const content = ['--ostree', at('repo'), '--ref', 'r1', '--out', at('disk.img')]
  pine('disk', 'build', ...shape, ...content, ...releaseOptions('r1'))
  pine('apply', at('r2.bundle'), '--disk', at('disk.img'), '--keyring', at('keys'))
  run('rm', '-rf', ...['full', ...TREE_RELEASES, 'repo'].map(at))
}

function buildBundle(into: string, from: TreeRelease, to: TreeRelease): void {
  const ends = ['--ostree', join(into, 'repo'), '--from', from, '--to', to]
  const bundle = ['--key', join(into, 'ci.key'), '--out', join(into, `${to}.bundle`), ...releaseOptions(to)]
  pine('bundle', 'create', '--tree', '--no-changes', ...ends, ...bundle)
}

function releaseOptions(name: TreeRelease): string[] {
  return ['--compatible', 'tree-cuts', '--release', VERSIONS[name]]
}

/** All goods but one in ten are the same in all releases. */
function commitTree(repo: string, tree: string, name: TreeRelease): string {
  put(tree, 'usr/share/shop/release', `${name}\n`)
  put(tree, 'etc/shop.conf', `shop of ${name}\n`)
  for (let number = 0; number < GOODS; number++) {
    const goods = `${number % 10 === 0 ? name : 'every'} ${number}`
    put(tree, `usr/share/shop/goods/${number % 16}/${number}`, noise(goods, GOODS_BYTES))
  }
  return run('ostree', 'commit', `--repo=${repo}`, `--branch=${name}`, `--tree=dir=${tree}`).trim()
}
