import { basename } from 'node:path'
import { oneLine } from '../core/format.ts'
import type { Host } from './host.ts'

export interface RunningProcess {
  pid: number
  /** Its command line, as a person would type it, on one line and cut to 200 characters. */
  command: string
  /** Since it was started. */
  runningMs: number
}

const COMMAND_CHARS = 200
/** Of starttime, on every architecture that Node runs on. sysconf(3), _SC_CLK_TCK */
const TICKS_PER_SECOND = 100

/** A process by its number, or `self`; undefined where there is none that can be seen. proc_pid_stat(5) */
export async function readProcess(host: Host, pid: string): Promise<RunningProcess | undefined> {
  const stat = await textOf(host, `/proc/${pid}/stat`)
  // The name may hold spaces and brackets; starttime is field 22, the first one behind the name is field 3.
  const [, number, name = '', rest = ''] = /^(\d+) \((.*)\) (.*)$/s.exec(stat) ?? []
  if (number === undefined) return undefined
  const [uptime] = (await textOf(host, '/proc/uptime')).split(' ')
  const started = Number(rest.split(' ')[19]) / TICKS_PER_SECOND
  const argv = (await textOf(host, `/proc/${pid}/cmdline`)).split('\0').slice(0, -1)
  return {
    pid: Number(number),
    command: commandOf(argv, name),
    runningMs: Math.max(0, Math.round((Number(uptime) - started) * 1000)),
  }
}

/** `process 1234 (pine-update apply web-2.0.bundle)` */
export function describeProcess({ pid, command }: Pick<RunningProcess, 'pid' | 'command'>): string {
  return `process ${pid} (${command})`
}

/** Whoever it is may have chosen its arguments to confuse a terminal. */
function commandOf(argv: readonly string[], name: string): string {
  const ours = argv.findIndex((word) => /^pine-update(\.cjs)?$/.test(basename(word)))
  const words = ours < 0 ? argv : ['pine-update', ...argv.slice(ours + 1)]
  return oneLine(words.join(' ') || name).slice(0, COMMAND_CHARS)
}

/** It may end while one looks. */
async function textOf(host: Host, path: string): Promise<string> {
  const content = await host.readFile(path).catch(() => undefined)
  return String(content ?? '')
}
