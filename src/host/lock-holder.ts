import type { FileHandle } from 'node:fs/promises'
import type { OpenRegion } from '../core/region.ts'
import { readFile } from './files.ts'
import type { Host } from './host.ts'
import { type RunningProcess, readProcess } from './process.ts'

export interface LockHolder extends RunningProcess {
  /** Others may hold it too: udev does so for moments, while it looks at a disk that was just written. */
  shared: boolean
}

/** An open file as `/proc/locks` names it, such as `fe:00:2146424`. proc_locks(5), proc_pid_mountinfo(5) */
export async function lockIdOf(file: FileHandle): Promise<string | undefined> {
  const { ino } = await file.stat({ bigint: true })
  // Not the device of stat(2): file systems with several of them, such as btrfs, lock on another one.
  const mount = /^mnt_id:\s*(\d+)$/m.exec(await textOf(`/proc/self/fdinfo/${file.fd}`))?.[1]
  const line = new RegExp(`^${mount} \\d+ (\\d+):(\\d+) `, 'm').exec(await textOf('/proc/self/mountinfo'))
  if (line === null) return undefined
  const [major, minor] = line.slice(1).map((number) => Number(number).toString(16).padStart(2, '0'))
  return `${major}:${minor}:${ino}`
}

async function textOf(path: string): Promise<string> {
  return String((await readFile(path)) ?? '')
}

const FLOCK = /^\d+: FLOCK +ADVISORY +(READ|WRITE) +(\d+) (\S+) /gm

/**
 * The process that has the lock of a region. Undefined where nobody has it, and where the kernel does not show who: a
 * process in another container.
 */
export async function lockHolder(host: Host, region: OpenRegion): Promise<LockHolder | undefined> {
  const id = await region.lockId()
  const locks = String((await host.readFile('/proc/locks')) ?? '')
  for (const [, kind, pid = '', where] of locks.matchAll(FLOCK)) {
    if (where !== id) continue
    const holder = await readProcess(host, pid)
    if (holder !== undefined) return { ...holder, shared: kind === 'READ' }
  }
  return undefined
}
