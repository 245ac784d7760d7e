import { join } from 'node:path'
import { findBackend } from '../boot/backend.ts'
import { readContainerCmdline } from '../boot/container.ts'
import { readMeta, writeMeta } from '../boot/grub-state.ts'
import { buildFolder, type FolderRequest } from '../build/folder.ts'
import { PineError } from '../core/error.ts'
import { distFolder } from '../host/assets.ts'
import { makeFolder, moveFolder, removeFolder } from '../host/folder.ts'
import type { Host } from '../host/host.ts'
import { arm, DEFAULT_TRIES } from '../model/boot-state.ts'
import { bootstateFile } from '../model/folder-layout.ts'
import { type ImageRecord, parseRecords } from '../model/records.ts'
import { hasShim, OLD_INIT, PINE, removeSlots, SHIM, sbinOf, sync } from './root.ts'

export interface ContainerRequest extends Omit<FolderRequest, 'dir' | 'files'> {
  /** Of the container: `/`, or where its host has it. */
  root: string
}

/** What `initContainer` will do, for a person. */
export function describeInit({ root, ref, ostree, version }: ContainerRequest): string[] {
  return [
    `make ${join(root, PINE)}: slot a with ${version}, commit ${ref} of ${ostree}; slot b empty`,
    'make /etc of slot a from that of the commit, with the accounts, host keys and addresses of this container',
    `keep /sbin/init as /sbin/${OLD_INIT}`,
    `rename a link to /${SHIM} over /sbin/init; the next start is that of slot a, on trial`,
    'the system that is there stays as it is: "pine-update container undo" goes back to it',
  ]
}

/** Everything that is against it, at once. Throws `NOT_ROOT`, `FILE_NOT_FOUND`, `TAKEOVER_ORDER`, `TAKEOVER_REFUSED`. */
export async function requireContainer(host: Host, root: string): Promise<void> {
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
  const problems: string[] = []
  if (!(await canRun(host, root, '/sbin/init'))) problems.push('/sbin/init is no program that can be run')
  if (root === '/' && !(await isContainer(host)))
    problems.push(
      'this is no container that is known (PID 1 has no variable "container", there is no /proc/vz)',
    )
  if (problems.length === 0) return
  throw new PineError('TAKEOVER_REFUSED', problems.join('; '), {
    hint:
      root === '/'
        ? 'for a machine with a disk use "pine-update hijack"'
        : 'is this the root of a container?',
  })
}

async function canRun(host: Host, root: string, path: string): Promise<boolean> {
  try {
    await host.exec('chroot', [root, '/bin/sh', '-c', `[ -f "$0" ] && [ -x "$0" ]`, path])
    return true
  } catch (error) {
    if (error instanceof PineError && error.code === 'TOOL_FAILED') return false
    throw error
  }
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

/**
 * Gives a container two slots. A crash before the last rename leaves one that starts as before, and the same command begins
 * anew; after it slot a starts. Throws what `requireContainer` does, `TREE_INVALID`, `OSTREE_*`.
 */
export async function initContainer(host: Host, request: ContainerRequest): Promise<ImageRecord> {
  const { root, onStep } = request
  await requireContainer(host, root)
  const pine = join(root, PINE)
  const partial = `${pine}.new`
  // What an earlier one left behind; nothing starts from it.
  await removeSlots(host, root)
  const record = await buildFolder(host, { ...request, dir: partial, files: 'link' }).catch(remove(partial))
  await complete(host, { root, partial, onStep }).catch(remove(partial))
  await putOnTrial(host, partial, record).catch(remove(partial))
  await sync(host, root)
  await moveFolder(partial, pine)
  await sync(host, root)
  onStep('let it start')
  await startWithShim(host, root)
  return record
}

const remove = (partial: string) => async (error: unknown) => {
  await removeFolder(partial)
  throw error
}

/** [from dist, place] */
const FILES = [
  [`native/container-init-${process.arch}`, 'init'],
  ['system/container-etc', 'lib/container-etc'],
  ['system/etc-merge', 'lib/etc-merge'],
] as const

/** In the slot there is no /dev/null: it would become a file of the tree. */
const PROBE = `for path in proc sys dev run var etc; do [ -d "/$path" ] && [ ! -L "/$path" ] || echo "folder /$path"; done
[ -x /sbin/init ] || echo "/sbin/init"
for name in awk cat chmod chown cmp cp dirname grep mkdir mktemp mv readlink rm rmdir stat sync; do
  [ -n "$(command -v "$name")" ] || echo "program $name"
done`

async function complete(
  host: Host,
  { root, partial, onStep }: { root: string; partial: string; onStep: (label: string) => void },
): Promise<void> {
  const slot = join(partial, 'slots/a')
  onStep('look at slot a')
  const lacking = (await host.exec('chroot', [slot, '/bin/sh', '-c', PROBE]))
    .trim()
    .split('\n')
    .filter(Boolean)
  if (lacking.length > 0) {
    throw new PineError('TREE_INVALID', `the tree of the commit has no ${lacking.join(', no ')}`, {
      hint: 'add them to the tree, and commit it again',
    })
  }
  for (const name of ['root', 'outer', 'etc', 'lib']) await makeFolder(join(partial, name))
  for (const [from, to] of FILES)
    await host.exec('install', ['-m', '755', join(distFolder(), from), join(partial, to)])
  onStep('make /etc of slot a')
  await host.exec('sh', [join(distFolder(), 'system/container-first-etc'), root, partial])
  // What an old release forgot to forbid is of no use to anybody.
  await host.exec('chmod', ['700', partial])
}

/** What nobody has seen start in this container has to prove itself: else the old system starts again. */
async function putOnTrial(host: Host, partial: string, { digest, version }: ImageRecord): Promise<void> {
  const bootstate = await host.openRegion(bootstateFile(partial), { writable: true })
  try {
    const records = parseRecords(await readMeta(bootstate))
    const trial = { slot: 'a', digest, version, armedAt: host.now().toISOString(), update: true }
    await writeMeta(bootstate, { ...records, trial })
    // With the /etc that is made for it here.
    const loader = await findBackend(bootstate)
    await loader.change(bootstate, (state) => arm(state, 'a', DEFAULT_TRIES, true))
  } finally {
    await bootstate.close()
  }
}

/** The last rename is the one write that changes what starts. */
async function startWithShim(host: Host, root: string): Promise<void> {
  const { path, toRoot } = await sbinOf(host, root)
  const [init, old, link] = ['init', OLD_INIT, 'init.pine-new'].map((name) => join(path, name)) as [
    string,
    string,
    string,
  ]
  // Another name of the same inode, link or not: undo gives back what it was, to its times.
  await host.exec('ln', ['--physical', '--force', '--no-target-directory', init, old])
  await host.exec('ln', ['--symbolic', '--force', '--no-target-directory', `${toRoot}/${SHIM}`, link])
  await sync(host, root)
  await host.rename(link, init)
  await sync(host, root)
}
