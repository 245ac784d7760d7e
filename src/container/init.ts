import { join } from 'node:path'
import { findBackend } from '../boot/backend.ts'
import { readMeta, writeMeta } from '../boot/grub-state.ts'
import { buildFolder, type FolderRequest } from '../build/folder.ts'
import { PineError } from '../core/error.ts'
import type { Room } from '../core/room.ts'
import { distFolder } from '../host/assets.ts'
import { makeFolder, moveFolder, removeFolder } from '../host/folder.ts'
import type { Host } from '../host/host.ts'
import { arm, DEFAULT_TRIES } from '../model/boot-state.ts'
import { exchangeFile, FIRST_EXCHANGE } from '../model/exchange.ts'
import { bootstateFile } from '../model/folder-layout.ts'
import { type ImageRecord, parseRecords } from '../model/records.ts'
import { type Container, PROGRAMS, requireContainer } from './problems.ts'
import { CONTAINER_INIT, OLD_INIT, PINE, removeSlots, SHIM, sbinOf, sync } from './root.ts'

export interface ContainerRequest extends Omit<FolderRequest, 'dir' | 'files'>, Container {}

/** What `initContainer` will do, for a person. */
export function describeInit({ root, exchange, ref, ostree, version }: ContainerRequest): string[] {
  return [
    `make ${join(root, PINE)}: slot a with ${version}, commit ${ref} of ${ostree}; slot b empty`,
    'make /etc of slot a from that of the commit, with the accounts, host keys and addresses of this container',
    `keep /sbin/init as /sbin/${OLD_INIT}`,
    `rename a link to /${SHIM} over /sbin/init; the next start is that of slot a, on trial`,
    exchange
      ? 'at that start the system that is there goes into /.pine: "pine-update container undo" brings it back'
      : 'the system that is there stays as it is: "pine-update container undo" goes back to it',
  ]
}

/**
 * Gives a container two slots. A crash before the last rename leaves one that starts as before, and the same command begins
 * anew; after it slot a starts. Throws what `requireContainer` does, `TREE_INVALID`, `OSTREE_*`,
 * `IMAGE_TOO_BIG`.
 */
export async function initContainer(host: Host, request: ContainerRequest): Promise<ImageRecord> {
  const { root, exchange, onStep } = request
  await requireContainer(host, request)
  const pine = join(root, PINE)
  const partial = `${pine}.new`
  // What an earlier one left behind; nothing starts from it.
  await removeSlots(host, root)
  // What is at the root can be written to: what the slot has in its repository must not be the same file.
  const files = exchange ? 'copy' : 'link'
  const record = await buildFolder(host, { ...request, dir: partial, files, beside: ETC }).catch(
    remove(partial),
  )
  await complete(host, { root, exchange, partial, onStep }).catch(remove(partial))
  await putOnTrial(host, partial, record).catch(remove(partial))
  await sync(host, root)
  await moveFolder(partial, pine)
  await sync(host, root)
  onStep('let it start')
  await startWithShim(host, root)
  return record
}

/** An /etc for slot a, and our init. */
const ETC: Room = { bytes: 16 * 1024 * 1024, inodes: 3000 }

const remove = (partial: string) => async (error: unknown) => {
  await removeFolder(partial)
  throw error
}

/** [from dist, place] */
const FILES = [
  [CONTAINER_INIT, 'init'],
  ['system/container-etc', 'lib/container-etc'],
  ['system/etc-merge', 'lib/etc-merge'],
] as const

const PROBE = `for path in proc sys dev run var etc; do [ -d "/$path" ] && [ ! -L "/$path" ] || echo "folder /$path"; done
[ -x /sbin/init ] || echo "/sbin/init"
${PROGRAMS}`

async function complete(
  host: Host,
  { root, exchange, partial, onStep }: Container & { partial: string; onStep: (label: string) => void },
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
  if (exchange) {
    await requireExchange(host, partial)
    await host.replaceFile(exchangeFile(partial), FIRST_EXCHANGE)
  }
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

/** That the kernel and the file system can do it, shown with two folders. Throws `TAKEOVER_REFUSED`. */
async function requireExchange(host: Host, partial: string): Promise<void> {
  const [one, other] = [join(partial, 'root'), join(partial, 'outer')] as const
  try {
    await host.exec(join(partial, 'init'), ['--exchange', one, other])
  } catch (error) {
    if (!(error instanceof PineError) || error.code !== 'TOOL_FAILED') throw error
    throw new PineError('TAKEOVER_REFUSED', `folders cannot be exchanged here: ${error.message}`, {
      hint: 'renameat2(2) is needed, of Linux 3.15 or newer and a file system that knows it',
      cause: error,
    })
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
