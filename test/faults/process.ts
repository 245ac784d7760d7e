import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Workshop } from '../support/cli.ts'

const DIST = join(import.meta.dirname, '../../dist')

export type Program = 'pine-update' | 'fault-probe'

export interface Started {
  child: ChildProcess
  /** Standard error so far. */
  said(): string
  /** Resolves when that was printed on standard error. */
  saying(text: string): Promise<void>
  ended: Promise<Ended>
}

export interface Ended {
  exit: number | null
  signal: NodeJS.Signals | null
  stderr: string
}

interface StartOptions {
  program?: Program
  env?: Record<string, string>
  /** Folder of a cgroup that it begins in. */
  group?: string | undefined
}

/** Runs one command line in a process of its own; `@name` is a file of the workshop. */
export function startProgram(
  shop: Workshop,
  line: string,
  { program = 'pine-update', env = {}, group }: StartOptions = {},
): Started {
  const script = join(DIST, `${program}.cjs`)
  if (!existsSync(script)) throw new Error('run "node build.mjs" first')
  const words = line.split(' ').map((word) => (word.startsWith('@') ? shop.path(word.slice(1)) : word))
  const enter = group === undefined ? '' : 'echo $$ > "$PINE_GROUP/cgroup.procs" && '
  const child = spawn('sh', ['-c', `${enter}exec "$0" "$@"`, process.execPath, script, ...words], {
    env: { ...process.env, ...env, PINE_GROUP: group },
  })
  let stderr = ''
  let wake = (): void => undefined
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
    wake()
  })
  child.stdout.resume()
  // Whoever ends early has no use for what comes.
  child.stdin.on('error', () => undefined)
  const ended = once(child, 'close').then(([exit, signal]) => ({ exit, signal, stderr }))
  return {
    child,
    ended,
    said: () => stderr,
    async saying(text) {
      while (!stderr.includes(text)) {
        if (child.exitCode !== null) throw new Error(`it ended before it said "${text}": ${stderr}`)
        await new Promise<void>((resolve) => {
          wake = resolve
          child.once('close', resolve)
        })
      }
    },
  }
}
