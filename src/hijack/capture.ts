import { dirname, join } from 'node:path'
import { readAsset } from '../host/assets.ts'
import type { Host } from '../host/host.ts'
import type { Captured, CapturedFile } from './captured.ts'
import { type CpioEntry, encodeCpio } from './cpio.ts'
import type { Network } from './network.ts'
import { renderNetwork } from './render-network.ts'

/** Where src/system/apply-captured finds it: the loader hands it to the kernel as a second initramfs. */
const TOP = 'captured'
/** Of the members of this folder, what is merged rather than put in place. */
const ACCOUNTS = `${TOP}/accounts`

/** The archive that gives the new system the network and the identity of the old one. It holds secrets. */
export async function captureArchive(host: Host, network: Network, identity: Captured): Promise<Buffer> {
  const assets = {
    script: await readAsset(host, 'network-fallback'),
    unit: await readAsset(host, 'pine-update-network-fallback.service'),
  }
  return encodeCaptured({ ...identity, files: [...identity.files, ...renderNetwork(network, assets)] })
}

export function encodeCaptured({ files, accounts }: Captured): Buffer {
  const folders = new Map<string, CpioEntry>([
    [TOP, folder(TOP, 0o700)],
    [ACCOUNTS, folder(ACCOUNTS, 0o700)],
  ])
  for (const file of files) addFolders(folders, file)
  const lists = Object.entries(accounts).map(([name, lines]) => accountFile(name, lines))
  return encodeCpio([...folders.values(), ...lists, ...files.map(entryOf)])
}

function entryOf(file: CapturedFile): CpioEntry {
  const path = TOP + file.path
  if ('link' in file) return { path, mode: 0o777, uid: 0, gid: 0, kind: 'link', target: file.link }
  const { mode, uid, gid, content } = file
  return { path, mode, uid, gid, kind: 'file', content }
}

function accountFile(name: string, lines: readonly string[]): CpioEntry {
  const content = Buffer.from(lines.map((line) => `${line}\n`).join(''))
  return { path: join(ACCOUNTS, name), mode: 0o600, uid: 0, gid: 0, kind: 'file', content }
}

/** Those above a file, up to the top. What is in a home belongs to its user, and is for nobody else. */
function addFolders(folders: Map<string, CpioEntry>, file: CapturedFile): void {
  for (let path = dirname(file.path); path !== '/'; path = dirname(path)) {
    const isPrivate = /^\/(home\/.|root$|root\/)/.test(path)
    const owner = isPrivate && !('link' in file) ? file : { uid: 0, gid: 0 }
    folders.set(TOP + path, folder(TOP + path, isPrivate ? 0o700 : 0o755, owner))
  }
}

function folder(path: string, mode: number, { uid, gid } = { uid: 0, gid: 0 }): CpioEntry {
  return { path, mode, uid, gid, kind: 'folder' }
}
