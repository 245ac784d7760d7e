import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pine, run } from './commands.ts'
import { debianTrees, filesIn, kept, put } from './release-trees.ts'

/** r1 is on the disk; r2 and r3 are updates; `bad` boots, and its health check says no. */
export const POWER_RELEASES = ['r1', 'r2', 'r3', 'bad'] as const
export type PowerRelease = (typeof POWER_RELEASES)[number]

export const VERSIONS: Record<PowerRelease, string> = {
  r1: '1.0.0',
  r2: '2.0.0',
  r3: '3.0.0',
  bad: '4.0.0',
}

/** From which releases the bundle of each can be applied: cuts can lead back to an older one that was good. */
const BASES = { r2: ['r1', 'r3'], r3: ['r1', 'r2'], bad: ['r2', 'r3'] } as const

/** What the machines of a run are made of; nobody writes to these files. */
export interface PowerKit {
  /** A disk with r1, never started. */
  disk: string
  /** A squashfs with a bundle of each later release, such as r2.bundle. */
  cargo: string
  /** Of the images. */
  digests: Record<PowerRelease, string>
}

const LIB = join(process.cwd(), 'vm-tests/lib')
/** Not to interfere: a busy host may run a guest at a tenth of its speed. */
const DEADLINE_S = 3600
export const APPEND = `console=ttyS0 quiet mitigations=off pine.deadline=${DEADLINE_S}`
const CHANGED_BYTES = 1024 * 1024
export const MADE_FROM = ['power-kit.ts', 'power-init.sh', 'power-systemctl.sh', 'slim-tree.sh']

/** Made once, then kept in .cache/vm by a digest of everything that goes in. */
export function powerKit(): PowerKit {
  const debian = join(debianTrees(), 'r1')
  const folder = kept('power-kit', keyOf(debian, MADE_FROM), (into) => buildKit(debian, into))
  return {
    disk: join(folder, 'disk.img'),
    cargo: join(folder, 'cargo.img'),
    digests: JSON.parse(readFileSync(join(folder, 'digests.json'), 'utf8')),
  }
}

/** Of a kit that is made from a Debian tree, the agent in dist/ and those files beside this one. */
export function keyOf(debian: string, names: readonly string[]): string {
  const hash = createHash('sha256').update(debian)
  for (const path of [...filesIn(join(process.cwd(), 'dist')), ...names.map((name) => join(LIB, name))])
    hash.update(readFileSync(path))
  return hash.digest('hex').slice(0, 16)
}

function buildKit(debian: string, into: string): void {
  const at = (name: string): string => join(into, name)
  pine('key', 'generate', '--out', at('ci'))
  buildTrees(debian, into)
  const digests = POWER_RELEASES.map((name) => [name, buildImage(at(name), at(`${name}.img`))])
  writeFileSync(at('digests.json'), JSON.stringify(Object.fromEntries(digests)))
  mkdirSync(at('cargo'))
  for (const [name, bases] of Object.entries(BASES)) {
    const from = bases.flatMap((base) => ['--from', at(`${base}.img`)])
    const to = ['--to', at(`${name}.img`), '--key', at('ci.key'), '--out', at(`cargo/${name}.bundle`)]
    pine('bundle', 'create', ...from, ...to, ...releaseOptions(name as PowerRelease))
  }
  run('mksquashfs', at('cargo'), at('cargo.img'), '-noI', '-noD', '-noF', '-quiet', '-no-progress')
  const options = ['--layout', 'layouts/gpt-bios-tiny.sfdisk', '--size', '512M', '--append', APPEND]
  const image = ['--image', at('r1.img'), '--out', at('disk.img')]
  pine('disk', 'build', ...options, ...image, ...releaseOptions('r1'))
  // What is left is small enough to be kept.
  run(
    'rm',
    '-rf',
    at('full'),
    ...POWER_RELEASES.flatMap((name) => [at(name), at(`${name}.img`)]),
    at('cargo'),
  )
}

function releaseOptions(name: PowerRelease): string[] {
  return ['--compatible', 'power-test', '--release', VERSIONS[name]]
}

function buildTrees(debian: string, into: string): void {
  const r1 = buildSlimTree(debian, into)
  for (const name of POWER_RELEASES) {
    const tree = join(into, name)
    if (name !== 'r1') run('cp', '-a', r1, tree)
    dress(tree, name)
  }
}

/**
 * Makes `r1` in a folder that has ci.pub: the real initrd and agent in a Debian tree, of which only what they need is kept, and what
 * the packages have; `full` is left beside it. Returns its path.
 */
export function buildSlimTree(debian: string, into: string, packages: readonly string[] = []): string {
  const full = join(into, 'full')
  run('cp', '-a', debian, full)
  run('sh', join(LIB, 'slim-tree.sh'), 'modules', full)
  pine('image', 'prepare', full)
  const r1 = join(into, 'r1')
  run('sh', join(LIB, 'slim-tree.sh'), 'pick', full, r1, ...packages)
  putFile(r1, 'usr/sbin/init', 'power-init.sh')
  putFile(r1, 'usr/bin/systemctl', 'power-systemctl.sh')
  put(r1, 'etc/pine-update/config.toml', '[health]\nsystemd = false\nsettle = 0\n')
  put(r1, 'etc/pine-update/keys/ci.pub', readFileSync(join(into, 'ci.pub'), 'utf8'))
  return r1
}

/** What differs between the releases: some data, a file in /etc that servers edit, and one that they do not. */
function dress(tree: string, name: PowerRelease): void {
  put(tree, 'usr/share/shop/release', `${name}\n`)
  put(tree, 'usr/share/shop/goods', noise(name, CHANGED_BYTES))
  put(tree, 'etc/shop.conf', `shop of ${name}\n`)
  put(tree, 'etc/motd', `welcome to ${name}\n`)
  if (name !== 'bad') return
  const check = '#!/bin/sh\necho "the shop is closed"\nexit 1\n'
  put(tree, 'usr/lib/pine-update/health.d/50-shop', check, 0o755)
}

/** Does not compress, and is the same each time. */
export function noise(name: string, bytes: number): Buffer {
  return createHash('shake256', { outputLength: bytes }).update(name).digest()
}

function putFile(tree: string, to: string, name: string): void {
  put(tree, to, readFileSync(join(LIB, name)), 0o755)
}

function buildImage(tree: string, out: string): string {
  return JSON.parse(pine('image', 'build', '--tree', tree, '--out', out, '--json')).digest
}
