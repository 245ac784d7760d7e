import { createHash } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { AGENT } from '../../src/build/prepare.ts'
import { pine, run } from './commands.ts'

/** The programs here are run from the top of the repository. */
const REPO = process.cwd()
const CACHE = join(REPO, '.cache/vm')
const DIST = join(REPO, 'dist')

const SUITE = 'trixie'
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'
const COMMON = [
  ...['systemd-sysv', 'linux-image-cloud-amd64', 'initramfs-tools', 'busybox', 'e2fsprogs', 'fdisk', 'zstd'],
  ...['nodejs', 'libostree-1-1', 'openssh-server', 'ifupdown', 'iproute2', 'procps'],
]
/** Two releases from scratch, as a CI would build them: a package comes, another goes. */
const PACKAGES = { r1: [...COMMON, 'less'], r2: [...COMMON, 'tree'] }

/** `panic`, `hang` and `unhealthy` are r2 with one thing broken. */
export const RELEASES = ['r1', 'r2', 'panic', 'hang', 'unhealthy'] as const
export type Release = (typeof RELEASES)[number]

/**
 * Folder of each release's tree, ready for `image build`: Debian 13 from packages, with pine-update of dist/ in it.
 * Kept in .cache/vm by a digest of everything that goes in; the first time takes some minutes and the network.
 */
export function releaseTrees(): Record<Release, string> {
  const bases = debianTrees()
  const key = digest([
    bases,
    ...filesIn(DIST).map((path) => readFileSync(path)),
    readFileSync(join(REPO, 'vm-tests/lib/release-trees.ts')),
  ])
  const folder = kept('releases', key, (into) => {
    for (const name of ['r1', 'r2'] as const) buildRelease(join(bases, name), join(into, name), name)
    buildBroken(into)
  })
  return {
    r1: join(folder, 'r1'),
    r2: join(folder, 'r2'),
    panic: join(folder, 'panic'),
    hang: join(folder, 'hang'),
    unhealthy: join(folder, 'unhealthy'),
  }
}

/** Folder with a Debian of packages for r1 and r2. */
export function debianTrees(): string {
  return kept('debian', digest([SUITE, JSON.stringify(PACKAGES)]), (into) => {
    for (const [name, packages] of Object.entries(PACKAGES)) {
      bootstrap(SUITE, join(into, name), ['--variant=minbase', `--include=${packages.join(',')}`])
    }
  })
}

/** Makes a tree of Debian's packages, without their documentation. */
export function bootstrap(suite: string, tree: string, options: readonly string[]): void {
  const keyring = existsSync(KEYRING) ? [`--keyring=${KEYRING}`] : []
  const leave = '--dpkgopt=path-exclude=/usr/share/doc/*'
  run('mmdebstrap', ...options, leave, ...keyring, '--quiet', suite, tree, debianMirror())
}

/** The first Debian archive among this machine's apt sources. */
export function debianMirror(): string {
  const folder = '/etc/apt/sources.list.d'
  const more = existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : []
  const texts = ['/etc/apt/sources.list', ...more]
    .filter(existsSync)
    .map((path) => readFileSync(path, 'utf8'))
  const uris = texts.flatMap((text) => text.replace(/^\s*#.*$/gm, '').match(/\bhttps?:\/\/[^\s\]]+/g) ?? [])
  return uris.find((uri) => /\/debian\/?$/.test(uri)) ?? 'http://deb.debian.org/debian'
}

function buildRelease(base: string, tree: string, name: string): void {
  run('cp', '-a', base, tree)
  put(tree, 'etc/hostname', 'shop\n')
  put(tree, 'etc/hosts', '127.0.0.1 localhost shop\n')
  put(tree, 'etc/resolv.conf', '')
  put(tree, 'etc/motd', `welcome to ${name}\n`)
  // A root prompt on the serial port, where the story types its commands.
  const login = '[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin root --keep-baud 115200 - dumb\n'
  put(tree, 'etc/systemd/system/serial-getty@ttyS0.service.d/autologin.conf', login)
  put(tree, 'etc/pine-update/config.toml', '[health]\nsettle = 20\ntcp = ["127.0.0.1:22"]\n')
  put(tree, `usr/share/pine-test/${name}`, `${name}\n`)
  prepare(tree)
}

function buildBroken(into: string): void {
  const tree = (name: string) => join(into, name)
  for (const name of ['panic', 'hang', 'unhealthy']) {
    run('cp', '-a', tree('r2'), tree(name))
    put(tree(name), `usr/share/pine-test/${name}`, `${name}\n`)
  }
  const crash = '#!/bin/sh\n[ "$1" = prereqs ] || echo c >/proc/sysrq-trigger\n'
  put(tree('panic'), 'usr/share/initramfs-tools/scripts/init-premount/crash', crash, 0o755)
  prepare(tree('panic'))
  // /sbin/init is a link to systemd: removed first, or the program behind it would be overwritten.
  rmSync(join(tree('hang'), 'usr/sbin/init'))
  const hang = '#!/bin/sh\necho "init hangs" >/dev/console\nwhile :; do sleep 1000; done\n'
  put(tree('hang'), 'usr/sbin/init', hang, 0o755)
  const check = '#!/bin/sh\necho "the shop is closed"\nexit 1\n'
  put(tree('unhealthy'), 'usr/lib/pine-update/health.d/50-shop', check, 0o755)
}

function prepare(tree: string): void {
  pine('image', 'prepare', tree)
}

export function put(tree: string, path: string, content: string | Uint8Array, mode = 0o644): void {
  const to = join(tree, path)
  mkdirSync(dirname(to), { recursive: true })
  rmSync(to, { force: true })
  writeFileSync(to, content)
  chmodSync(to, mode)
}

/** A folder of the cache that `build` fills once; replaces those of the same kind with another key. */
export function kept(kind: string, key: string, build: (into: string) => void): string {
  const folder = join(CACHE, `${kind}-${key}`)
  if (existsSync(folder)) return folder
  mkdirSync(CACHE, { recursive: true })
  for (const name of readdirSync(CACHE)) {
    if (name.startsWith(`${kind}-`)) rmSync(join(CACHE, name), { recursive: true, force: true })
  }
  console.log(`building ${folder}`)
  const partial = `${folder}.partial`
  mkdirSync(partial)
  build(partial)
  renameSync(partial, folder)
  return folder
}

/** Of the agent that lies in `folder`, by path. */
export function filesIn(folder: string): string[] {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => AGENT.some((name) => path.startsWith(join(DIST, name))))
    .sort()
}

function digest(parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part).update('\0')
  return hash.digest('hex').slice(0, 16)
}
