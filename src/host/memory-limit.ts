import { join } from 'node:path'
import type { Host } from './host.ts'

/** One version of the memory controller, as it shows a group. */
interface Controller {
  /** Where its groups are. */
  readonly root: string
  /** Its line in `/proc/self/cgroup`. cgroups(7) */
  readonly line: RegExp
  readonly limit: string
  readonly used: string
  /** Page cache that the kernel takes back before the limit hurts; of the group and those below. */
  readonly cache: RegExp
}

const CONTROLLERS: readonly Controller[] = [
  // Linux, admin-guide/cgroup-v2.rst
  {
    root: '/sys/fs/cgroup',
    line: /^0::(.*)$/m,
    limit: 'memory.max',
    used: 'memory.current',
    cache: /^inactive_file (\d+)$/m,
  },
  // Linux, admin-guide/cgroup-v1/memory.rst
  {
    root: '/sys/fs/cgroup/memory',
    line: /^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(.*)$/m,
    limit: 'memory.limit_in_bytes',
    used: 'memory.usage_in_bytes',
    cache: /^total_inactive_file (\d+)$/m,
  },
]

/**
 * Bytes of memory that the cgroups of this process leave it: what a container, or `MemoryMax=` of systemd, allows, less
 * what is used; swap does not count. Infinite where nothing limits it.
 */
export async function memoryLeftInGroups(host: Pick<Host, 'readFile'>): Promise<number> {
  const own = await textOf(host, '/proc/self/cgroup')
  let left = Number.POSITIVE_INFINITY
  for (const controller of CONTROLLERS) {
    const path = controller.line.exec(own)?.[1]
    if (path === undefined) continue
    // A limit of a group holds for all groups below it. In a container the path may be that outside: then only the root
    // is there, and it is the container's own.
    for (const group of withParents(path)) left = Math.min(left, await leftIn(host, controller, group))
  }
  return left
}

/** `/a/b` → `/a/b`, `/a`, `/`. */
function withParents(path: string): string[] {
  const names = path.split('/').filter((name) => name !== '' && name !== '..')
  return Array.from(
    { length: names.length + 1 },
    (_, up) => `/${names.slice(0, names.length - up).join('/')}`,
  )
}

async function leftIn(
  host: Pick<Host, 'readFile'>,
  { root, ...files }: Controller,
  group: string,
): Promise<number> {
  const read = (name: string) => textOf(host, join(root, group, name))
  const limit = bytesOf(await read(files.limit))
  const used = bytesOf(await read(files.used))
  // `max`, or no such file: no limit here.
  if (limit === undefined || used === undefined) return Number.POSITIVE_INFINITY
  const cache = Number(files.cache.exec(await read('memory.stat'))?.[1] ?? 0)
  return Math.max(0, limit - used + cache)
}

function bytesOf(text: string): number | undefined {
  const bytes = /^\d+$/.exec(text.trim())?.[0]
  return bytes === undefined ? undefined : Number(bytes)
}

async function textOf(host: Pick<Host, 'readFile'>, path: string): Promise<string> {
  return ((await host.readFile(path)) ?? '').toString()
}
