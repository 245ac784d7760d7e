import { execFileSync } from 'node:child_process'
import { mkdirSync, rmdirSync } from 'node:fs'

/** What changes by itself while a system runs, GRUB's notes, and what is ours. */
const CHANGING = [
  ...['/var/log', '/var/lib/systemd', '/var/lib/dhcp', '/var/tmp', '/tmp', '/run', '/root/pine'],
  ...['/boot/grub/grubenv', '/pine-update', '/etc/adjtime', '/lost+found'],
]

/** For a shell in its root: every file with mode, owner, and what is in it. */
function listing(root: string): string {
  const passed = CHANGING.map((path) => `-path ${root}${path}`).join(' -o ')
  const entries = `find ${root || '/'} -xdev \\( ${passed} \\) -prune -o`
  return `{ ${entries} -printf '%M %U:%G %P -> %l\\n'; ${entries} -type f -print0 | xargs -0 sha256sum; } | LC_ALL=C sort`
}

/** The files of a system that runs. */
export const LIST_FILES = listing('')

/** The files of a disk that nobody uses, whose root starts there. */
export function filesOn(disk: string, offset: number): string {
  const at = `${disk}.files`
  mkdirSync(at)
  execFileSync('mount', ['-o', `loop,ro,offset=${offset}`, disk, at])
  try {
    const text = execFileSync('sh', ['-c', `cd ${at} && ${listing(at)}`], { maxBuffer: 2 ** 26 }).toString()
    return text.replaceAll(at, '')
  } finally {
    execFileSync('umount', [at])
    rmdirSync(at)
  }
}

/** Lines that only one of both has, for a message; empty where they are the same. */
export function differingLines(before: string, after: string): string[] {
  const [old, now] = [new Set(before.split('\n')), new Set(after.split('\n'))]
  const gone = [...old].filter((line) => !now.has(line)).map((line) => `- ${line}`)
  return [...gone, ...[...now].filter((line) => !old.has(line)).map((line) => `+ ${line}`)]
}
