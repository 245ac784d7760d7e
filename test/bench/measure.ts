import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** What one run of a program took. */
export interface Cost {
  readonly seconds: number
  /** Largest resident set of the largest of its processes. */
  readonly peakBytes: number
}

export interface RunOptions {
  readonly cwd?: string
  readonly env?: Record<string, string>
}

/** Runs a program to its end and returns its standard output. Throws where it fails. */
export function run(command: readonly string[], options: RunOptions = {}): string {
  const [program = '', ...args] = command
  const ran = spawnSync(program, args, {
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { ...process.env, LC_ALL: 'C', ...options.env },
  })
  if (ran.error !== undefined) throw ran.error
  if (ran.status === 0) return ran.stdout
  const said = ran.stderr.trim().split('\n').slice(-3).join(' / ')
  throw new Error(`${program} ended with ${ran.status ?? ran.signal}: ${said}`)
}

/** Runs a program under GNU time. */
export function measure(command: readonly string[], options: RunOptions = {}): Cost {
  const folder = mkdtempSync(join(tmpdir(), 'pine-bench-'))
  const file = join(folder, 'time')
  try {
    run(['/usr/bin/time', '-o', file, '-f', '%e %M', ...command], options)
    const [seconds, kib] = readFileSync(file, 'utf8').trim().split('\n').at(-1)?.split(' ') ?? []
    return { seconds: Number(seconds), peakBytes: Number(kib) * 1024 }
  } finally {
    rmSync(folder, { recursive: true })
  }
}
