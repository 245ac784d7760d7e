import { PineError } from '../core/error.ts'
import type { ExecOptions } from './host.ts'

const DEFAULT_TIMEOUT_MS = 60_000

/** Runs a program without a shell, locale C. Returns stdout; stderr ends up in the error. */
export async function exec(
  command: string,
  args: readonly string[],
  options: ExecOptions = {},
): Promise<string> {
  // execa costs 15 MB of RSS; commands that run no program do without it.
  const { execa } = await import('execa')
  const timeout = options.timeoutMs ?? DEFAULT_TIMEOUT_MS
  const group = options.ownGroup ?? false
  const running = execa(command, args, {
    reject: false,
    stripFinalNewline: false,
    maxBuffer: 64 * 1024 * 1024,
    env: { LC_ALL: 'C.UTF-8', PATH: searchPath(), ...options.env },
    detached: group,
    // It would listen to every signal, and hide that nobody else does: see src/cli/start.ts.
    cleanup: false,
    ...(group ? {} : { timeout }),
    ...(options.input === undefined ? { stdin: 'ignore' } : { input: options.input }),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  })
  const killed = group ? killGroupAfter(running.pid, timeout) : undefined
  const end = (): void => void (group || running.kill())
  process.once('exit', end)
  const result = await running
  process.off('exit', end)
  const timedOut = result.timedOut || (killed?.() ?? false)
  if (!result.failed) return String(result.stdout)
  const said = String(result.stderr).trim() || String(result.stdout).trim()
  if (result.code === 'ENOENT') {
    throw new PineError('TOOL_MISSING', `the program ${command} is not installed`, {
      hint: `install it: ${packageHint(command)}`,
      cause: result,
    })
  }
  if (timedOut) {
    throw new PineError('TOOL_TIMEOUT', `${command} did not end within ${timeout / 1000} s`, {
      cause: result,
    })
  }
  throw new PineError('TOOL_FAILED', `${command} failed (${howItEnded(result)}): ${lastLines(said)}`, {
    hint: `the command was: ${[command, ...args].join(' ')}`,
    cause: result,
  })
}

/** sfdisk and most others are where a user, `su` and `env -i` do not look. */
function searchPath(): string {
  return `${process.env.PATH ?? '/usr/bin:/bin'}:/usr/sbin:/sbin`
}

interface Ended {
  readonly signal?: string | undefined
  readonly exitCode?: number | undefined
  readonly originalMessage?: string | undefined
}

/** One that was never started has neither signal nor exit code. */
function howItEnded({ signal, exitCode, originalMessage }: Ended): string {
  if (signal === 'SIGKILL') return 'signal SIGKILL, as when memory runs out'
  if (signal !== undefined) return `signal ${signal}`
  return exitCode === undefined || exitCode === 0 ? String(originalMessage) : `exit code ${exitCode}`
}

/** Ends a program and everything it started. Returns a function that stops the clock and says whether it rang. */
function killGroupAfter(pid: number | undefined, timeoutMs: number): () => boolean {
  let rang = false
  const timer = setTimeout(() => {
    rang = true
    if (pid !== undefined) process.kill(-pid, 'SIGKILL')
  }, timeoutMs)
  return () => {
    clearTimeout(timer)
    return rang
  }
}

const PACKAGES: Record<string, string> = {
  sfdisk: 'fdisk',
  mksquashfs: 'squashfs-tools',
  'mkfs.erofs': 'erofs-utils',
  mke2fs: 'e2fsprogs',
  mkswap: 'util-linux',
  lsblk: 'util-linux',
  ionice: 'util-linux',
  renice: 'bsdutils',
  'grub-mkimage': 'grub-common',
  'mkfs.vfat': 'dosfstools mtools',
  mmd: 'mtools',
  mcopy: 'mtools',
  tar: 'tar',
  find: 'findutils',
}

function packageHint(command: string): string {
  const known = PACKAGES[command]
  return known === undefined ? `look for the package that has ${command}` : `apt-get install ${known}`
}

function lastLines(text: string): string {
  return text.split('\n').slice(-3).join('; ') || 'it printed no reason'
}
