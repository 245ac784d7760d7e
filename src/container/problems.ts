import { join } from 'node:path'
import { readContainerCmdline } from '../boot/container.ts'
import { PineError } from '../core/error.ts'
import { distFolder } from '../host/assets.ts'
import type { Host } from '../host/host.ts'
import { CONTAINER_INIT, hasShim, mountPoints } from './root.ts'

export interface Container {
  /** `/`, or where its host has it. */
  root: string
  /** Its slots change places with what is in its root, instead of being mounted over it. */
  exchange: boolean
}

/** Everything that is against it, at once. Throws `NOT_ROOT`, `FILE_NOT_FOUND`, `TAKEOVER_ORDER`, `TAKEOVER_REFUSED`. */
export async function requireContainer(host: Host, container: Container): Promise<void> {
  const { root } = container
  if (process.getuid?.() !== 0)
    throw new PineError('NOT_ROOT', 'a container with two slots is made by root', {
      hint: 'run the command as root',
    })
  for (const name of ['sbin', 'etc', 'var']) {
    if ((await host.kindOf(join(root, name))) === undefined)
      throw new PineError('FILE_NOT_FOUND', `${root} is no root of a container: it has no ${name}`)
  }
  const runsSlot = root === '/' && (await readContainerCmdline(host)) !== undefined
  if (runsSlot || (await hasShim(host, root))) {
    throw new PineError('TAKEOVER_ORDER', 'this container has its slots already', {
      hint: 'to install a release use "pine-update apply"; to go back "pine-update container undo"',
    })
  }
  const problems = await problemsOf(host, container)
  if (problems.length === 0) return
  throw new PineError('TAKEOVER_REFUSED', problems.join('; '), {
    hint:
      root === '/'
        ? 'for a machine with a disk use "pine-update hijack"'
        : 'is this the root of a container?',
  })
}

async function problemsOf(host: Host, { root, exchange }: Container): Promise<string[]> {
  const problems: string[] = []
  if (!(await canRun(host, root, '/sbin/init'))) problems.push('/sbin/init is no program that can be run')
  if (root === '/' && !(await isContainer(host)))
    problems.push(
      'this is no container that is known (PID 1 has no variable "container", there is no /proc/vz)',
    )
  if (exchange) problems.push(...(await exchangeProblems(host, root)))
  else if (root === '/' && !(await mayMount(host)))
    problems.push('this container may not mount; "container init --exchange" does without')
  return problems
}

async function canRun(host: Host, root: string, path: string): Promise<boolean> {
  return await succeeds(host.exec('chroot', [root, '/bin/sh', '-c', `[ -f "$0" ] && [ -x "$0" ]`, path]))
}

/** As systemd-detect-virt sees it, which is not everywhere. */
async function isContainer(host: Host): Promise<boolean> {
  // Not even root may read it everywhere.
  const read = await host.readFile('/proc/1/environ').catch(() => undefined)
  const environment = String(read ?? '').split('\0')
  if (environment.some((entry) => entry.startsWith('container='))) return true
  if ((await host.kindOf('/run/systemd/container')) !== undefined) return true
  return (await host.kindOf('/proc/vz')) !== undefined && (await host.kindOf('/proc/bc')) === undefined
}

async function mayMount(host: Host): Promise<boolean> {
  return await succeeds(host.exec(join(distFolder(), CONTAINER_INIT), ['--may-mount']))
}

async function succeeds(command: Promise<unknown>): Promise<boolean> {
  try {
    await command
    return true
  } catch (error) {
    if (error instanceof PineError && error.code === 'TOOL_FAILED') return false
    throw error
  }
}

/** What changes places, see `native/container-init/settle.c`, has to be on one file system, which can rename folders. */
async function exchangeProblems(host: Host, root: string): Promise<string[]> {
  const problems: string[] = []
  const kind = (await host.exec('stat', ['-f', '-c', '%t', root])).trim()
  if (kind === OVERLAYFS) problems.push('the root is an overlay, whose folders cannot be renamed')
  const top = (await host.realPath(root)) ?? root
  const taken = new Set(EXCHANGED.map((name) => join(top, name)))
  for (const point of await mountPoints(host))
    if (taken.has(point)) problems.push(`${point} is a mount of its own, and cannot be exchanged`)
  const lacking = (await host.exec('chroot', [root, '/bin/sh', '-c', PROGRAMS])).trim()
  if (lacking !== '') problems.push(`the old system lacks ${lacking.replaceAll('\n', ', ')}`)
  return problems
}

/** OVERLAYFS_SUPER_MAGIC, statfs(2). */
const OVERLAYFS = '794c7630'
/** Compared with that file by a test. */
export const EXCHANGED =
  'sbin bin lib lib32 lib64 libx32 usr opt etc var var/lib var/lib/dpkg var/lib/apk'.split(' ')

/** What `src/system/container-etc` calls. In a slot there is no /dev/null: it would become a file of the tree. */
export const PROGRAMS = `for name in awk cat chmod chown cmp cp dirname grep mkdir mktemp mv readlink rm rmdir stat sync; do
  [ -n "$(command -v "$name")" ] || echo "program $name"
done`
