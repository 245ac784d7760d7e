import { join } from 'node:path'
import { PineError } from '../core/error.ts'
import { removeFolder } from '../host/folder.ts'
import type { Host } from '../host/host.ts'

/** Names in the root of a container. `native/container-init` has the same. */
export const PINE = '.pine'
export const SHIM = `${PINE}/init`
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

/**
 * Removes the slots, and what an init that was cut off left of them. In a slot that runs the old root is mounted among them
 * and would go too: throws `TAKEOVER_ORDER` where anything is mounted there, whatever else is known.
 */
export async function removeSlots(host: Host, root: string): Promise<void> {
  const top = await host.realPath(root)
  const text = await host.readFile('/proc/self/mountinfo')
  if (top === undefined || text === undefined) throw new Error(`no list of what is mounted below ${root}`)
  const folders = [PINE, `${PINE}.new`].map((name) => join(top, name))
  const points = text
    .toString()
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
  const inUse = points.find((point) => folders.some((folder) => `${point}/`.startsWith(`${folder}/`)))
  if (inUse !== undefined) {
    throw new PineError('TAKEOVER_ORDER', `the slots are in use: ${inUse} is mounted`, {
      hint: 'a slot that runs is left with "pine-update container undo" and a restart of the container',
    })
  }
  for (const folder of folders) await removeFolder(folder)
}
