import { join } from 'node:path'
import { PineError } from '../core/error.ts'
import { removeFolder } from '../host/folder.ts'
import type { Host } from '../host/host.ts'
import { type AtRoot, exchangeFile, parseExchange } from '../model/exchange.ts'

/** Names in the root of a container. `native/container-init` has the same. */
export const PINE = '.pine'
export const SHIM = `${PINE}/init`
/** What becomes that, in dist. */
export const CONTAINER_INIT = `native/container-init-${process.arch}`
/** The init that was there, under another name in its folder: a relative link still leads where it did. */
export const OLD_INIT = 'init.pine-old'

/** The folder that /sbin is, and the way back from it to the root. */
export interface SbinFolder {
  path: string
  toRoot: string
}

/** In `root`, where /sbin may be a link: to usr/sbin or usr/bin, relative or not. */
export async function sbinOf(host: Host, root: string): Promise<SbinFolder> {
  const target = (await readLink(host, join(root, 'sbin'))) ?? 'sbin'
  const names = target.split('/').filter(Boolean)
  return { path: join(root, ...names), toRoot: names.map(() => '..').join('/') }
}

/** Undefined where it is no link. Options that busybox knows: a slot need not have more. */
async function readLink(host: Host, path: string): Promise<string | undefined> {
  const kind = (await host.exec('stat', ['-c', '%F', path])).trim()
  return kind === 'symbolic link' ? (await host.exec('readlink', [path])).trim() : undefined
}

/** Our init starts this root. */
export async function hasShim(host: Host, root: string): Promise<boolean> {
  const { path, toRoot } = await sbinOf(host, root)
  return (await readLink(host, join(path, 'init'))) === `${toRoot}/${SHIM}`
}

export async function sync(host: Host, root: string): Promise<void> {
  await host.exec('sync', ['-f', root], { timeoutMs: 3_600_000 })
}

/** What is at the root of a container whose slots are exchanged; undefined where they are mounted, or there are none. */
export async function readAtRoot(host: Host, root: string): Promise<AtRoot | undefined> {
  const text = await host.readFile(exchangeFile(join(root, PINE)))
  return text && parseExchange(text.toString())
}

/** Where something is mounted, with links resolved. proc_pid_mountinfo(5) */
export async function mountPoints(host: Host): Promise<string[]> {
  const text = await host.readFile('/proc/self/mountinfo')
  if (text === undefined) throw new Error('no list of what is mounted')
  return text
    .toString()
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
}

/**
 * Removes the slots, and what an init that was cut off left of them. The old root may be among them: in a slot that runs it is
 * mounted there, and where slots are exchanged its folders are in that of the slot. Throws `TAKEOVER_ORDER` then, whatever else
 * is known.
 */
export async function removeSlots(host: Host, root: string): Promise<void> {
  const top = await host.realPath(root)
  if (top === undefined) throw new Error(`there is no ${root}`)
  const folders = [PINE, `${PINE}.new`].map((name) => join(top, name))
  const points = await mountPoints(host)
  const mounted = points.find((point) => folders.some((folder) => `${point}/`.startsWith(`${folder}/`)))
  const atRoot = await readAtRoot(host, root)
  const isOld = atRoot === undefined || atRoot === 'old'
  if (mounted !== undefined || !isOld) {
    const found =
      mounted === undefined ? 'the old system is in the folder of a slot' : `${mounted} is mounted`
    throw new PineError('TAKEOVER_ORDER', `the slots are in use: ${found}`, {
      hint: 'a slot that runs is left with "pine-update container undo" and a restart of the container',
    })
  }
  for (const folder of folders) await removeFolder(folder)
}
