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
    env: { LC_ALL: 'C.UTF-8', ...options.env },
    detached: group,
    ...(group ? {} : { timeout }),
    ...(options.input === undefined ? { stdin: 'ignore' } : { input: options.input }),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  })
  const killed = group ? killGroupAfter(running.pid, timeout) : undefined
  const result = await running
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
  const how = result.signal === undefined ? `exit code ${result.exitCode}` : `signal ${result.signal}`
  throw new PineError('TOOL_FAILED', `${command} failed (${how}): ${lastLines(said)}`, {
    hint: `the command was: ${[command, ...args].join(' ')}`,
    cause: result,
  })
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
  'grub-mkimage': 'grub-common grub-pc-bin',
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
