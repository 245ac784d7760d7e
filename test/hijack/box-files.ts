import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'

/** Of long ago: in latin1, and without a line feed at its end. */
export const CUSTOM = Buffer.from(
  `# gepr\xfcft
menuentry 'memtest' --id memtest {
  linux16 /boot/memtest86+.bin
}`,
  'latin1',
)
const FILES: [string, string | Buffer, number][] = [
  ['boot/grub/custom.cfg', CUSTOM, 0o600],
  ['boot/grub/grub.cfg', 'source $prefix/custom.cfg\n', 0o444],
  ['boot/vmlinuz-6.1', 'the old kernel', 0o644],
  ['boot/initrd.img-6.1', 'its initrd', 0o600],
  ['etc/hostname', 'old\n', 0o644],
  ['usr/bin/sudo', '#!/bin/true', 0o4755],
  ['home/ann/notes', 'x'.repeat(100_000), 0o640],
]

export function fillRoot(folder: string): void {
  for (const [name, content, mode] of FILES) {
    const path = join(folder, name)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, content)
    chmodSync(path, mode)
  }
  chownSync(join(folder, 'home/ann/notes'), 1000, 1000)
  symlinkSync('boot/vmlinuz-6.1', join(folder, 'vmlinuz'))
  const block = join(folder, 'boot/grub/grubenv')
  run('grub-editenv', [block, 'create'])
  run('grub-editenv', [block, 'set', 'saved_entry=gnulinux-simple'])
}

/** What a person would miss: names, modes, owners, contents; of all that is on the root. */
export function filesOf(folder: string): Record<string, string> {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort()
  return Object.fromEntries(names.map((name) => [name, described(join(folder, name))]))
}

function described(path: string): string {
  const found = lstatSync(path)
  const content = found.isSymbolicLink()
    ? readlinkSync(path)
    : found.isFile()
      ? digest(readFileSync(path))
      : ''
  return `${found.mode.toString(8)} ${found.uid}:${found.gid} ${content}`
}

export function digest(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex')
}

export function run(command: string, args: readonly string[]): string {
  return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}
