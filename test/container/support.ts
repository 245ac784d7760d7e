import { execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { formatBootstate } from '../../src/boot/bootstate-area.ts'
import { readBootState, writeBootState } from '../../src/boot/grub-state.ts'
import { realHost } from '../../src/host/real-host.ts'
import type { BootState } from '../../src/model/boot-state.ts'

const REPO = join(import.meta.dirname, '../..')
const APPLETS =
  'sh cat cp mv rm ls mkdir mktemp stat awk cmp readlink grep chown chmod dirname sync sleep rmdir touch umount chroot'
const FOLDERS = 'bin sbin usr etc var/lib home root srv tmp proc sys dev run mnt lib'

export const PROBLEM = process.getuid?.() === 0 ? undefined : 'starting containers needs root'
if (PROBLEM !== undefined) console.log(`skipped: ${PROBLEM}`)

/** The container's init with short waits, faults as `PINE_FAULT` wants them, and with all warnings as errors. */
export function buildInit(out: string): void {
  const folder = join(REPO, 'native/container-init')
  const sources = readdirSync(folder).filter((name) => name.endsWith('.c'))
  const short = ['-DDEADLINE_SECONDS=2', '-DWAIT_SECONDS=1', '-DFAULTS']
  const strict = ['-std=gnu11', '-D_GNU_SOURCE', '-Wall', '-Wextra', '-Werror', '-O1', '-static']
  execFileSync('musl-gcc', [...strict, ...short, ...sources.map((name) => join(folder, name)), '-o', out])
}

/** A root file system of busybox. */
export function makeTree(tree: string): void {
  for (const folder of FOLDERS.split(' ')) mkdirSync(join(tree, folder), { recursive: true })
  const needed = execFileSync('ldd', ['/bin/busybox'], { encoding: 'utf8' }).match(/\/\S+/g) ?? []
  for (const path of [...needed, '/bin/busybox']) {
    mkdirSync(join(tree, dirname(path)), { recursive: true })
    copyFileSync(path, join(tree, path))
  }
  for (const name of APPLETS.split(' ')) symlinkSync('busybox', join(tree, 'bin', name))
}

export interface Container {
  root: string
  path(name: string): string
  write(name: string, text: string, mode?: number): void
  read(name: string): string
  state(): Promise<BootState>
  setState(change: (state: BootState) => BootState): Promise<void>
  /** Starts it as a host does; what its init and the shim print, and how it ended. */
  start(
    how?: keyof typeof HOW,
    timeoutMs?: number,
  ): { output: string; status: number | null; signal: string | null }
  close(): void
}

/** What each system says of itself. */
const INIT = `#!/bin/sh
echo "system: $(cat /usr/name)"
`

/** A container with two slots, made by hand: what `container init` leaves is tested for itself. */
export function makeContainer(init: string, state: BootState): Container {
  const top = mkdtempSync(join(tmpdir(), 'pine-container-'))
  const root = join(top, 'root')
  makeTree(root)
  const path = (name: string): string => join(root, name)
  const write = (name: string, text: string, mode = 0o644): void => {
    mkdirSync(dirname(path(name)), { recursive: true })
    writeFileSync(path(name), text)
    chmodSync(path(name), mode)
  }
  for (const name of ['.pine/root', '.pine/outer', '.pine/etc', '.pine/lib'])
    mkdirSync(path(name), { recursive: true })
  for (const name of ['container-etc', 'etc-merge'])
    copyFileSync(join(REPO, 'src/system', name), path(`.pine/lib/${name}`))
  chmodSync(path('.pine/lib/etc-merge'), 0o755)
  copyFileSync(init, path('.pine/init'))
  symlinkSync('../.pine/init', path('sbin/init'))
  write('sbin/init.pine-old', INIT, 0o755)
  write('usr/name', 'old\n')
  for (const slot of ['a', 'b']) {
    makeTree(path(`.pine/slots/${slot}`))
    write(`.pine/slots/${slot}/usr/name`, `${slot}\n`)
    write(`.pine/slots/${slot}/sbin/init`, INIT, 0o755)
  }
  writeFileSync(path('.pine/bootstate'), formatBootstate({ state, grubCfg: '' }))
  const host = realHost()
  const open = (writable: boolean) => host.openRegion(path('.pine/bootstate'), { writable })
  return {
    root,
    path,
    write,
    read: (name) => readFileSync(path(name), 'utf8'),
    async state() {
      const region = await open(false)
      return (await readBootState(region).finally(() => region.close())).state
    },
    async setState(change) {
      const region = await open(true)
      const { state: before } = await readBootState(region)
      await writeBootState(region, change(before), before.sequence).finally(() => region.close())
    },
    start: (how, timeoutMs) => startRoot(root, how, timeoutMs),
    close: () => rmSync(top, { recursive: true, force: true }),
  }
}

const PREPARE = `set -e
mount --make-rprivate /
mount --bind "$1" "$1"
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
cd "$1"
`
/** As LXC does, and as chroot does; the last one may not mount. */
const HOW = {
  pivot: `${PREPARE} pivot_root . mnt; exec chroot . /bin/sh -c 'umount -l /mnt; exec /sbin/init'`,
  /** As an unprivileged container: what its host mounted before is locked. */
  unprivileged: `mount --make-rprivate /
mount --bind "$1" "$1"
exec unshare --user --map-root-user --mount --pid --fork --kill-child sh -c '${PREPARE}
mkdir -p volume; mount -t tmpfs none volume; echo mounted >volume/note; mount --bind volume/note etc/mounted
pivot_root . mnt; exec chroot . /bin/sh -c "umount -l /mnt; exec /sbin/init"' sh "$1"`,
  chroot: `${PREPARE} exec chroot . /sbin/init`,
  'no-mounts': `${PREPARE} exec setpriv --bounding-set -sys_admin chroot . /sbin/init`,
}

/** Starts what is in a root as a host does. */
export function startRoot(root: string, how: keyof typeof HOW = 'pivot', timeout = 30_000) {
  const words = ['--mount', '--pid', '--fork', '--kill-child', 'sh', '-c', HOW[how], 'sh', root]
  const { stdout, stderr, status, signal } = spawnSync('unshare', words, {
    encoding: 'utf8',
    timeout,
    killSignal: 'SIGKILL',
  })
  if (existsSync(join(root, 'proc/1'))) throw new Error('the container left mounts behind')
  return { output: stdout + stderr, status, signal }
}
