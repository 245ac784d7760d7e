import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** A cgroup whose processes share a limit of memory, without swap. */
export interface MemoryGroup {
  readonly path: string
  /** How often the kernel has killed for want of memory in it. */
  kills(): number
  remove(): void
}

interface Version {
  readonly root: string
  readonly limit: string
  readonly swap: string
  readonly swapBytes: (limit: number) => number
  readonly kills: string
}

const VERSIONS: readonly Version[] = [
  // Linux, admin-guide/cgroup-v1/memory.rst: memsw counts memory and swap together.
  {
    root: '/sys/fs/cgroup/memory',
    limit: 'memory.limit_in_bytes',
    swap: 'memory.memsw.limit_in_bytes',
    swapBytes: (limit) => limit,
    kills: 'memory.oom_control',
  },
  // admin-guide/cgroup-v2.rst
  {
    root: '/sys/fs/cgroup',
    limit: 'memory.max',
    swap: 'memory.swap.max',
    swapBytes: () => 0,
    kills: 'memory.events',
  },
]

/** Undefined where none can be made here, as in most containers. */
export function makeMemoryGroup(name: string, limitBytes: number): MemoryGroup | undefined {
  for (const version of VERSIONS) {
    const group = join(version.root, `${name}-${process.pid}`)
    try {
      mkdirSync(group)
    } catch {
      continue
    }
    if (existsSync(join(group, version.limit))) return groupAt(group, version, limitBytes)
    rmdirSync(group)
  }
  return undefined
}

function groupAt(group: string, version: Version, limitBytes: number): MemoryGroup {
  writeFileSync(join(group, version.limit), String(limitBytes))
  const swap = join(group, version.swap)
  if (existsSync(swap)) writeFileSync(swap, String(version.swapBytes(limitBytes)))
  return {
    path: group,
    kills: () => Number(/^oom_kill (\d+)$/m.exec(readFileSync(join(group, version.kills), 'utf8'))?.[1]),
    remove: () => rmdirSync(group),
  }
}
