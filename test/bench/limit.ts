import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Cost, measure } from './measure.ts'

export type Limited = { readonly cost: Cost } | { readonly failed: string }

interface Controller {
  /** Where groups with a memory limit may be made. */
  readonly root: string
  readonly limitFile: string
  /** With what is written to it. */
  readonly swapFile: readonly [string, (bytes: number) => number]
}

const CONTROLLERS: readonly Controller[] = [
  // Linux, admin-guide/cgroup-v1/memory.rst: memsw counts memory and swap together.
  {
    root: '/sys/fs/cgroup/memory',
    limitFile: 'memory.limit_in_bytes',
    swapFile: ['memory.memsw.limit_in_bytes', (bytes) => bytes],
  },
  // admin-guide/cgroup-v2.rst
  { root: '/sys/fs/cgroup', limitFile: 'memory.max', swapFile: ['memory.swap.max', () => 0] },
]

/** Runs a program in a memory cgroup of its own, without swap. Page cache that it fills counts. */
export function measureLimited(limitBytes: number, command: readonly string[]): Limited {
  for (const { root, limitFile, swapFile } of CONTROLLERS) {
    const group = join(root, `pine-bench-${process.pid}`)
    try {
      mkdirSync(group)
    } catch {
      continue
    }
    try {
      if (!existsSync(join(group, limitFile))) continue
      writeFileSync(join(group, limitFile), String(limitBytes))
      const [name, value] = swapFile
      if (existsSync(join(group, name))) writeFileSync(join(group, name), String(value(limitBytes)))
      return runIn(group, command)
    } finally {
      rmdirSync(group)
    }
  }
  return { failed: 'no memory cgroup can be made here' }
}

function runIn(group: string, command: readonly string[]): Limited {
  const enter = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
  try {
    return { cost: measure(['bash', '-c', enter, group, ...command]) }
  } catch (error) {
    return { failed: `${error instanceof Error ? error.message : error}${kills(group)}` }
  }
}

function kills(group: string): string {
  for (const name of ['memory.oom_control', 'memory.events']) {
    const file = join(group, name)
    const [, count] = existsSync(file) ? (/oom_kill (\d+)/.exec(readFileSync(file, 'utf8')) ?? []) : []
    if (count !== undefined) return `; killed for want of memory: ${count}`
  }
  return ''
}
