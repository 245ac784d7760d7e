import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'

/** Loop devices and mounts of one test; all of them go away with `close`. */
export interface Devices {
  /** `direct`: around the page cache of the file. Returns the device, such as `/dev/loop0`. */
  attach(file: string, options?: { direct?: boolean }): string
  /** Mounts a file system in memory; returns its folder. */
  memory(folder: string, options: string): string
  /** Mounts an ext4 in a file; returns its folder. */
  ext4(folder: string, file: string): string
  remount(folder: string, options: string): void
  close(): void
}

/** Why there are none here; undefined where they work. */
export function withoutDevices(): string | undefined {
  if (process.getuid?.() !== 0) return 'mounting needs root'
  try {
    run('losetup', ['--find'])
    return undefined
  } catch {
    return 'there is no free loop device'
  }
}

export function openDevices(): Devices {
  const undo: (() => void)[] = []
  const mounted = (folder: string, args: readonly string[]): string => {
    mkdirSync(folder, { recursive: true })
    run('mount', [...args, folder])
    undo.push(() => run('umount', ['--lazy', folder]))
    return folder
  }
  return {
    attach(file, { direct = false } = {}) {
      const device = run('losetup', ['--find', '--show', `--direct-io=${direct ? 'on' : 'off'}`, file]).trim()
      undo.push(() => run('losetup', ['--detach', device]))
      return device
    },
    memory: (folder, options) => mounted(folder, ['-t', 'tmpfs', '-o', options, 'tmpfs']),
    ext4: (folder, file) => mounted(folder, ['-o', 'loop', file]),
    remount: (folder, options) => void run('mount', ['-o', `remount,${options}`, folder]),
    close() {
      for (const each of undo.reverse()) each()
    },
  }
}

function run(command: string, args: readonly string[]): string {
  return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}
