import { PineError } from '../core/error.ts'
import type { Host } from './host.ts'

/** `ionice -c`: only when nobody else wants the disk. ionice(1) */
const IDLE = '3'
const LOW_PRIORITY = '10'

const TOOLS: ReadonlyMap<string, readonly string[]> = new Map([
  ['ionice', ['-c', IDLE]],
  ['renice', ['-n', LOW_PRIORITY]],
])

/**
 * Gives the disk and the CPU to others first, for all threads of this process: on Linux each has its own priorities, and
 * passes them on to those it starts. Returns what could not be done, for a person to read; that stops nothing.
 */
export async function beGentle(host: Host): Promise<string[]> {
  const problems: string[] = []
  for (const [tool, args] of TOOLS) {
    const problem = await forAllThreads(host, tool, args).catch(reasonOf)
    if (problem !== undefined) problems.push(problem)
  }
  return problems
}

/** A thread that was not asked yet may start others meanwhile. */
async function forAllThreads(host: Host, tool: string, args: readonly string[]): Promise<undefined> {
  const done = new Set<string>()
  for (;;) {
    const threads = (await host.listFolder('/proc/self/task')).filter((thread) => !done.has(thread))
    if (threads.length === 0) return undefined
    await host.exec(tool, [...args, '-p', ...threads])
    for (const thread of threads) done.add(thread)
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof PineError) return error.message
  throw error
}
