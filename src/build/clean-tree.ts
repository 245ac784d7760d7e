import { join } from 'node:path'
import type { Host } from '../host/host.ts'

/** Emptied of files; the folders stay, with their owners. */
const VOLATILE = ['tmp', 'var/cache/apt', 'var/cache/ldconfig', 'var/lib/apt/lists', 'var/log', 'var/tmp']

/** Backups and seeds that would differ between two builds, or be shared by all machines with the image. */
const SINGLE = [
  ...['passwd-', 'group-', 'shadow-', 'gshadow-', 'subuid-', 'subgid-', '.updated'].map(
    (name) => `etc/${name}`,
  ),
  'var/.updated',
  'var/lib/systemd/random-seed',
  'var/lib/systemd/credential.secret',
]

/** These come from the kernel command line and the initramfs. */
const MOUNTED_BY_US = new Set(['/', '/etc', '/var', '/home', '/root'])

/** Takes the identity and the leftovers of the build out of a tree. */
export async function cleanTree(host: Host, tree: string): Promise<void> {
  for (const folder of VOLATILE) await deleteIn(host, join(tree, folder), [])
  // Host keys in an image are shared by everyone who has the image; each machine makes its own at first boot.
  await deleteIn(host, join(tree, 'etc/ssh'), ['-name', 'ssh_host_*_key*'])
  for (const path of SINGLE) await host.removeFile(join(tree, path))
  // machine-id(5): empty, not "uninitialized" and not missing: made at the first boot and kept in the upper of
  // /etc, while ConditionFirstBoot stays false, so that no update resets which units are enabled.
  await host.replaceFile(join(tree, 'etc/machine-id'), '', 0o444)
  await deleteIn(host, join(tree, 'var/lib/dbus'), ['-name', 'machine-id'])
  const fstab = await host.readFile(join(tree, 'etc/fstab'))
  if (fstab !== undefined) {
    await host.replaceFile(join(tree, 'etc/fstab'), withoutOwnMounts(fstab.toString()))
  }
}

/** fstab(5) without the lines for what pine-update mounts. */
export function withoutOwnMounts(fstab: string): string {
  const isOwn = (line: string) => !/^\s*#/.test(line) && MOUNTED_BY_US.has(line.trim().split(/\s+/)[1] ?? '')
  return fstab
    .split('\n')
    .filter((line) => !isOwn(line))
    .join('\n')
}

async function deleteIn(host: Host, folder: string, which: readonly string[]): Promise<void> {
  if ((await host.kindOf(folder)) !== 'folder') return
  await host.exec('find', [folder, '-xdev', '-type', 'f', ...which, '-delete'])
}
