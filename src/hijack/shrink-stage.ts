import { PineError } from '../core/error.ts'
import { readAsset } from '../host/assets.ts'
import type { Host } from '../host/host.ts'
import { parseMounts } from './mounts.ts'
import type { ShrinkPlan } from './shrink-plan.ts'

/** Where systemd-shutdown(8) goes when all else has ended; bootup(7), and "The initrd Interface of systemd". */
export const SHUTDOWN_FOLDER = '/run/initramfs'
/** What is mounted there, by the name that mountinfo has. */
const SOURCE = 'pine-update-shrink'
/** Of memory, at most; on Debian 12 it takes 5 MiB. */
const SIZE = '48m'
const TOOLS = ['sh', 'mount', 'umount', 'e2fsck', 'resize2fs', 'dumpe2fs', 'sync', 'sleep']
/** systemd makes what it misses of these, which it cannot in what is read-only. */
const FOLDERS = ['bin', 'dev', 'etc', 'lib', 'lib64', 'oldroot', 'proc', 'root', 'run', 'sbin', 'sys', 'tmp']
const MORE_FOLDERS = ['usr', 'usr/bin', 'usr/lib', 'usr/sbin', 'var']

/** Where the script looks, and how long it waits; other than by default in tests. */
export interface StageSettings {
  folder: string
  /** Where its log is until there is a place for it. */
  run: string
  /** What has sysrq-trigger and sys/kernel/panic. */
  proc: string
  /** Times that it tries to unmount the old root, a second apart. */
  patience: number
  /** Seconds that a restart may take. */
  linger: number
}

const SETTINGS: StageSettings = {
  folder: SHUTDOWN_FOLDER,
  run: '/run',
  proc: '/proc',
  patience: 20,
  linger: 60,
}

/**
 * Puts what runs when the old system has ended into a tmpfs of its own: the script, and the old system's own tools, which know
 * what its file system has. It is read-only in the end: finalrd and dracut, which fill the same folder when the machine stops,
 * cannot put something else there. Throws `TOOL_MISSING`, `TOOL_FAILED`; then it is gone again.
 */
export async function makeShutdownStage(
  host: Host,
  plan: ShrinkPlan,
  settings: StageSettings = SETTINGS,
): Promise<void> {
  const { folder } = settings
  await host.exec('mkdir', ['-p', folder])
  await host.exec('mount', ['-t', 'tmpfs', '-o', `exec,nosuid,mode=0755,size=${SIZE}`, SOURCE, folder])
  try {
    await host.exec('mkdir', ['-p', ...[...FOLDERS, ...MORE_FOLDERS].map((name) => `${folder}/${name}`)])
    await copyTools(host, folder)
    await host.replaceFile(`${folder}/shutdown.conf`, settingsText(plan, settings))
    await host.replaceFile(`${folder}/shutdown`, await readAsset(host, 'shrink-at-shutdown'), 0o755)
    await host.exec('chroot', [folder, '/shutdown', 'check'])
    await host.exec('mount', ['-o', 'remount,ro', folder])
  } catch (error) {
    // What went wrong first is what matters.
    await host.exec('umount', [folder]).catch(() => undefined)
    throw error
  }
}

async function copyTools(host: Host, folder: string): Promise<void> {
  const libraries = new Set<string>()
  for (const tool of TOOLS) {
    const path = await pathOf(host, tool)
    await host.exec('cp', ['--dereference', path, `${folder}/bin/${tool}`])
    for (const library of await librariesOf(host, path)) libraries.add(library)
  }
  // At the paths where they are looked for; without it those that are not in a folder of the linker's own are not found.
  const cache = (await host.kindOf('/etc/ld.so.cache')) === undefined ? [] : ['/etc/ld.so.cache']
  await host.exec('cp', ['--dereference', '--parents', ...libraries, ...cache, folder])
}

async function pathOf(host: Host, tool: string): Promise<string> {
  const found = await host.exec('sh', ['-c', 'command -v "$0" || true', tool])
  if (found.trim() !== '') return found.trim()
  throw new PineError('TOOL_MISSING', `the program ${tool} is not installed`, {
    hint: 'install e2fsprogs and util-linux',
  })
}

/** ldd(1); none of a program that needs none. */
async function librariesOf(host: Host, path: string): Promise<string[]> {
  const listed = await host.exec('ldd', [path]).catch((error: unknown) => {
    if (error instanceof PineError && error.code === 'TOOL_FAILED') return ''
    throw error
  })
  return librariesIn(listed)
}

/** `NAME => PATH (0x…)`, or only `PATH (0x…)`. */
export function librariesIn(listed: string): string[] {
  return [...listed.matchAll(/(?:^|=>)\s*(\/\S+) \(0x/gm)].flatMap(([, path]) => path ?? [])
}

const HARMLESS = /^[\w./:-]*$/

/** For the shell: a variable a line. */
export function settingsText(plan: ShrinkPlan, settings: StageSettings = SETTINGS): string {
  const { device, uuid, full, target, keep } = plan
  const { run, proc, patience, linger } = settings
  const values = Object.entries({ device, uuid, full, target, keep, run, proc, patience, linger })
  const odd = values.find(([, value]) => !HARMLESS.test(String(value)))
  if (odd !== undefined)
    throw new PineError('TAKEOVER_REFUSED', `cannot tell a script of "${odd[1]}"`, {
      hint: 'give the device another name',
    })
  return values.map(([name, value]) => `${name}=${value}\n`).join('')
}

/** Ours waits for the next restart. */
export async function isShutdownStage(host: Pick<Host, 'readFile'>): Promise<boolean> {
  const mountinfo = (await host.readFile('/proc/self/mountinfo'))?.toString() ?? ''
  return parseMounts(mountinfo).some(({ at, source }) => at === SHUTDOWN_FOLDER && source === SOURCE)
}

/** Does nothing where it is not ours that waits. */
export async function removeShutdownStage(host: Pick<Host, 'readFile' | 'exec'>): Promise<void> {
  while (await isShutdownStage(host)) await host.exec('umount', [SHUTDOWN_FOLDER])
}
