import { basename, join } from 'node:path'
import type { Host } from '../host/host.ts'
import { type CapturedFile, textFile } from './captured.ts'
import { copyOf, linkOrCopyOf } from './copy-of.ts'
import { isPersistent } from './persistent.ts'
import { type Sshd, valuesOf } from './sshd.ts'

/** /etc/localtime and /etc/default/locale may be links into the image. */
const NAMED = ['/etc/hosts', '/etc/timezone', '/etc/localtime', '/etc/default/locale', '/etc/locale.conf']

/** What a machine is called, where it is, and what it speaks. */
export async function readSystemFiles(host: Host): Promise<CapturedFile[]> {
  const files: (CapturedFile | undefined)[] = [await hostname(host), await machineId(host)]
  for (const path of NAMED) files.push(await linkOrCopyOf(host, path))
  // It would make users, passwords and host keys as on the first boot of a new machine; cloud-init#3753.
  files.push(textFile('/etc/cloud/cloud-init.disabled', ''))
  return files.flatMap((file) => file ?? [])
}

async function hostname(host: Host): Promise<CapturedFile> {
  const file = await copyOf(host, '/etc/hostname')
  return file ?? textFile('/etc/hostname', await host.exec('uname', ['--nodename']))
}

/** Logs and leases go on under it. An image has "uninitialized" there. */
async function machineId(host: Host): Promise<CapturedFile | undefined> {
  const file = await copyOf(host, '/etc/machine-id')
  return file !== undefined && /^[\da-f]{32}\s*$/.test(file.content.toString()) ? file : undefined
}

/** Keys and certificates by which clients know this machine, and where sshd is to look for them. */
export async function readHostKeys(host: Host, sshd: Sshd): Promise<CapturedFile[]> {
  const names = (await host.listFolder('/etc/ssh')).filter((name) => name.startsWith('ssh_host_'))
  const named = valuesOf(sshd, 'hostkey').flatMap((path) => [path, `${path}.pub`])
  const files: (CapturedFile | undefined)[] = []
  for (const path of new Set([...names.map((name) => join('/etc/ssh', name)), ...named]))
    files.push(await copyOf(host, path, hostKeyPath(path)))
  // Of system groups the ids differ; sshd refuses a key that others may read.
  return files.flatMap((file) =>
    file === undefined ? [] : { ...file, ...ROOT, mode: hostKeyMode(file.path) },
  )
}

const ROOT = { uid: 0, gid: 0 }

function hostKeyMode(path: string): number {
  return path.endsWith('.pub') ? 0o644 : 0o600
}

/** Elsewhere it would not outlive an update. */
export function hostKeyPath(path: string): string {
  return isPersistent(path) ? path : join('/etc/ssh', basename(path))
}
