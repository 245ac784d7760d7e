import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FfiName } from '../../src/ostree/library.ts'
import { type Ostree, startOstree } from '../../src/ostree/ostree.ts'

const requireFrom = createRequire(import.meta.url)

/** libostree's own signature for tests: the key is a word, and covers nothing. It has to be allowed. */
export const DUMMY = { OSTREE_DUMMY_SIGN_ENABLED: '1' }

/** Runs the `ostree` command line; returns what it printed. */
export function ostree(...args: string[]): string {
  const env = { ...process.env, ...DUMMY }
  return execFileSync('ostree', args, { encoding: 'utf8', env, stdio: ['ignore', 'pipe', 'pipe'] })
}

/** Undefined where the tests of that package can run; else why not, printed once. */
function missing(ffi: FfiName): string | undefined {
  try {
    ostree('--version')
    // Loading it would have it in this process.
    requireFrom.resolve(ffi)
    return undefined
  } catch (error) {
    const reason = `tests of libostree by ${ffi} are skipped: ${String(error).split('\n')[0]}`
    console.warn(reason)
    return reason
  }
}

/** Both packages, with what keeps their tests from running. */
export const LOADERS = (['koffi', 'ffi-napi'] as const).map((ffi) => ({ ffi, reason: missing(ffi) }))

export function start(ffi: FfiName, env: Record<string, string> = {}): Promise<Ostree> {
  return startOstree({ env: { PINE_OSTREE_FFI: ffi, ...env } })
}

/** A folder that is gone after `use`, and the process with it. */
export async function withOstree(
  ffi: FfiName,
  use: (ostree: Ostree, folder: string) => Promise<void>,
  env: Record<string, string> = {},
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'pine-ostree-'))
  const session = await start(ffi, env)
  try {
    await use(session, folder)
  } finally {
    await session.close()
    rmSync(folder, { recursive: true })
  }
}

/** Two releases of a small system: files that change, come, go, and one too big for a delta's default. */
export function trees(folder: string): { old: string; new: string } {
  const made = { old: join(folder, 'old'), new: join(folder, 'new') }
  for (const [name, root] of Object.entries(made)) {
    mkdirSync(join(root, 'usr/lib'), { recursive: true })
    mkdirSync(join(root, 'etc'))
    writeFileSync(join(root, 'usr/lib/same'), 'the same in both\n')
    writeFileSync(join(root, 'etc/release'), `${name}\n`)
    writeFileSync(join(root, 'usr/lib/big'), noise(name === 'old' ? 1 : 2))
    symlinkSync('../usr/lib/same', join(root, 'etc/link'))
  }
  writeFileSync(join(made.old, 'usr/lib/gone'), 'only in the old one\n')
  mkdirSync(join(made.new, 'usr/share'))
  writeFileSync(join(made.new, 'usr/share/came'), 'only in the new one\n')
  return made
}

const BIG_BYTES = 6 * 1024 * 1024

/** Does not compress, and differs from the next one in a few places. */
function noise(release: number): Buffer {
  const bytes = Buffer.alloc(BIG_BYTES)
  let state = 1
  for (let at = 0; at < BIG_BYTES; at += 4) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    bytes.writeUInt32LE(state, at)
  }
  for (let at = 0; at < BIG_BYTES; at += BIG_BYTES / 8) bytes[at] = release
  return bytes
}

/** The lines of a command's output, sorted. */
export function lines(text: string): string[] {
  return text.split('\n').filter(Boolean).sort()
}
