import { execFileSync } from 'node:child_process'
import { join } from 'node:path'

/** Programs and tests are run from the top of the repository. */
const REPO = process.cwd()

/** Runs a tool; returns what it printed. What it said of an error is in the message. */
export function run(command: string, ...args: string[]): string {
  const stdio: ['ignore', 'pipe', 'pipe'] = ['ignore', 'pipe', 'pipe']
  try {
    return execFileSync(command, args, { cwd: REPO, encoding: 'utf8', stdio, maxBuffer: 2 ** 26 })
  } catch (error) {
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr).slice(-2000) : ''
    throw new Error(`${[command, ...args].join(' ')} failed: ${said}`, { cause: error })
  }
}

/** The command line as it was built. */
export function pine(...args: string[]): string {
  return run(process.execPath, join(REPO, 'dist/pine-update.cjs'), ...args)
}

/** A disk of its own for each machine; holes stay holes. */
export function copyDisk(from: string, to: string): void {
  run('cp', '--sparse=always', from, to)
}
