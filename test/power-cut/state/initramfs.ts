import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, copyFileSync, cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'

/** What the scripts run in: busybox and the few programs that src/system/initramfs-hook takes along. */
const PROGRAMS = ['busybox', 'e2fsck', 'cp', 'blkid']

/** initramfs-tools has more of these; ours ask for no other. */
const FUNCTIONS = `get_fstype() { blkid -s TYPE -o value "$1"; }
resolve_device() { return 1; }
`

const OURS = {
  // A boot that fails ends here, at once: nothing of this machine may restart.
  reboot: '#!/bin/sh\nkill -9 "$PPID"\n',
  'run-init': '#!/bin/sh\ntest -e "$2$3"\n',
}

const CONF = 'PINE_DEADLINE=600\nPINE_DEVICE_WAIT=1\n'

/** Makes the root of an initramfs in `root`; `system` holds the scripts. */
export function makeInitramfs(root: string, system: string): void {
  for (const folder of [
    'bin',
    'dev/disk/by-partuuid',
    'proc',
    'root',
    'run',
    'tmp',
    'scripts',
    'usr/lib/pine-update',
  ])
    mkdirSync(join(root, folder), { recursive: true })
  for (const program of PROGRAMS) copyProgram(root, program)
  for (const applet of execFileSync('busybox', ['--list'], { encoding: 'utf8' }).split('\n')) {
    if (applet !== '' && !PROGRAMS.includes(applet) && !(applet in OURS))
      symlinkSync('busybox', join(root, 'bin', applet))
  }
  for (const [name, text] of Object.entries(OURS))
    writeFileSync(join(root, 'bin', name), text, { mode: 0o755 })
  writeFileSync(join(root, 'scripts/functions'), FUNCTIONS)
  writeFileSync(join(root, 'usr/lib/pine-update/initramfs.conf'), CONF)
  for (const name of ['etc-merge', 'initramfs-functions.sh', 'initramfs-state']) {
    cpSync(join(system, name), join(root, 'usr/lib/pine-update', name))
    chmodSync(join(root, 'usr/lib/pine-update', name), 0o755)
  }
}

function copyProgram(root: string, name: string): void {
  const path = execFileSync('sh', ['-c', 'command -v "$0"', name], { encoding: 'utf8' }).trim()
  const libraries = execFileSync('ldd', [path], { encoding: 'utf8' }).match(/\/\S+(?= \()/g) ?? []
  for (const library of libraries) {
    mkdirSync(join(root, dirname(library)), { recursive: true })
    copyFileSync(library, join(root, library))
  }
  copyFileSync(path, join(root, 'bin', name))
  chmodSync(join(root, 'bin', name), 0o755)
}

/** One boot of one slot, from the moment the loader has started its kernel. */
export interface Start {
  /** Root of the initramfs. */
  readonly root: string
  /** Files: the state partition, the slot that starts, the other slot. */
  readonly state: string
  readonly image: string
  readonly other: string
  readonly slot: string
  readonly gen: string
  readonly from: string
  /** Shell lines that change the started system, with its root as working folder. */
  readonly edits?: string | undefined
  /**
   * `state` is served by this: it is mounted at `folder`. Then something else on the partition calls fsync all the time, as
   * services do.
   */
  readonly fuse?: { readonly fd: number; readonly folder: string } | undefined
}

/** What a start came to: digests of what is on the state partition, and of /etc as programs see it. */
export interface Started {
  readonly failure: string | undefined
  readonly state: string
  readonly etc: string
}

/**
 * All mounts are in a namespace of their own, and nothing in it may restart this machine. A loop device that is given up
 * while it is open goes with its last user, whatever ends this.
 */
const SCRIPT = `set -eu
mount --make-rprivate /
[ -z "$FUSE" ] || mount -i -t fuse -o fd=5,rootmode=40000,user_id=0,group_id=0 pine-disk "$FUSE"
STATE=$(losetup --find --show "$STATE")
exec 3<"$STATE"
losetup --detach "$STATE"
OTHER=$(losetup --find --show --read-only "$OTHER")
exec 4<"$OTHER"
losetup --detach "$OTHER"
mount -t proc -o ro proc "$ROOT/proc"
mount --bind "$CMDLINE" "$ROOT/proc/cmdline"
for folder in run tmp dev; do mount -t tmpfs tmpfs "$ROOT/$folder"; done
mkdir -p "$ROOT/dev/disk/by-partuuid"
for device in /dev/null "$STATE" "$OTHER"; do
  : >"$ROOT$device"
  mount --bind "$device" "$ROOT$device"
done
ln -s "$STATE" "$ROOT/dev/disk/by-partuuid/state"
ln -s "$OTHER" "$ROOT/dev/disk/by-partuuid/other"
mount -r -o loop -t squashfs "$IMAGE" "$ROOT/root"
state=$ROOT/run/pine-update/state
neighbour=
if [ -n "$FUSE" ]; then
  until [ -e "$ROOT/tmp/stop" ]; do dd if=/dev/zero of="$state/.neighbour" bs=1 count=1 conv=notrunc,fsync 2>/dev/null || sleep 0.01; done &
  neighbour=$!
fi
code=0
setpriv --bounding-set -sys_boot chroot "$ROOT" /bin/env -i PATH=/bin rootmnt=/root \\
  /bin/sh /usr/lib/pine-update/initramfs-state </dev/null >&2 || code=$?
: >"$ROOT/tmp/stop"
[ -z "$neighbour" ] || wait "$neighbour"
[ "$code" -eq 0 ] || exit 9
[ -z "$EDITS" ] || (cd "$ROOT/root" && eval "$EDITS")
# Uppers of earlier generations of this slot go at the next chance: one may be left.
left=
for upper in "$state/etc/$SLOT".*; do
  [ "$upper" = "$state/etc/$SLOT.$GEN" ] || left="$left --exclude=./etc/\${upper##*/}"
done
pack() {
  tar --sort=name --mtime=@0 --numeric-owner --xattrs --xattrs-include=trusted.overlay.opaque \\
    --pax-option=delete=atime,delete=ctime --exclude=./lost+found --exclude=./.neighbour --exclude=./log \\
    --exclude='./etc/*/work' $left -cf - -C "$1" . | sha256sum
}
pack "$state"
pack "$ROOT/root/etc"
umount -R "$ROOT/root"
umount "$state"
`

const TIMEOUT_MS = 120_000
const NAMESPACES = ['--mount', '--pid', '--fork', '--kill-child']

/** Runs the real scripts of src/system as the initramfs does. Needs root. */
export async function startSlot(start: Start, cmdlineFile: string): Promise<Started> {
  const { root, state, image, other, slot, gen, from, edits = '', fuse } = start
  const ids = 'pine.state=PARTUUID=state pine.other=PARTUUID=other'
  writeFileSync(cmdlineFile, `root=x pine.slot=${slot} pine.gen=${gen} pine.from=${from} ${ids}\n`)
  const files = { ROOT: root, STATE: state, IMAGE: image, OTHER: other, CMDLINE: cmdlineFile }
  const { code, stdout, stderr } = await run(
    ['unshare', ...NAMESPACES, 'sh', '-c', SCRIPT],
    { ...process.env, ...files, SLOT: slot, GEN: gen, EDITS: edits, FUSE: fuse?.folder ?? '' },
    fuse?.fd,
  )
  const [ofState = '', ofEtc = ''] = stdout.split('\n').map((line) => line.split(' ')[0] ?? '')
  if (code === 0) return { failure: undefined, state: ofState, etc: ofEtc }
  return { failure: `${code}: ${stderr.split('\n').slice(-4).join('; ')}`, state: '', etc: '' }
}

interface Ran {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Descriptor 5 of the program is `fd`. */
async function run([program = '', ...args]: string[], env: NodeJS.ProcessEnv, fd?: number): Promise<Ran> {
  const child = spawn(program, args, {
    env,
    timeout: TIMEOUT_MS,
    stdio: ['ignore', 'pipe', 'pipe', 'ignore', 'ignore', fd ?? 'ignore'],
  })
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout as Readable),
    text(child.stderr as Readable),
    once(child, 'exit') as Promise<[number | null]>,
  ])
  return { code, stdout, stderr }
}
