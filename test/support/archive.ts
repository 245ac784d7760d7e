import { execFileSync, type SpawnSyncReturns, spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

/** Programs and tests are run from the top of the repository. */
const REPO = process.cwd()

/** Runs `npm run package` over dist/ as it is. The fastest level of gzip: the program is the same. */
export function runPackage(out: string, options: readonly string[] = [], umask = '022') {
  const words = [process.execPath, join(REPO, 'package/build.mjs'), '--level', '1', '--out', out, ...options]
  return run('sh', ['-c', `umask ${umask}; exec "$@"`, 'sh', ...words])
}

/** Path of a new archive in that folder. */
export function makeArchive(out: string, umask?: string): string {
  const made = runPackage(out, [], umask)
  if (made.status !== 0) throw new Error(made.stderr)
  return join(out, readdirSync(out).find((name) => name.endsWith('.tar.gz')) ?? '')
}

/** With the smallest tar that people have; returns the one folder that is in it. */
export function unpack(archive: string, into: string): string {
  mkdirSync(into, { recursive: true })
  execFileSync('busybox', ['tar', 'xzf', archive, '-C', into])
  return join(into, ...readdirSync(into))
}

export function run(
  program: string,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): SpawnSyncReturns<string> {
  return spawnSync(program, args, { ...options, encoding: 'utf8' })
}
