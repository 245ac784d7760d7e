import { PineError } from '../core/error.ts'
import type { Host } from './host.ts'

/** The partition table of a device or image file, as `sfdisk --json` prints it. */
export async function readTable(host: Host, path: string): Promise<string> {
  try {
    return await host.exec('sfdisk', ['--json', path])
  } catch (error) {
    if (!(error instanceof PineError) || error.code !== 'TOOL_FAILED') throw error
    throw new PineError('NOT_A_PINE_DISK', `${path} has no partition table that sfdisk can read`, {
      hint: 'make one with "pine-update disk build" or "pine-update install"',
      cause: error,
    })
  }
}

/** Writes a partition table from an sfdisk script. Everything the old table described is lost. */
export async function writeTable(host: Host, path: string, script: string): Promise<void> {
  await host.exec('sfdisk', ['--quiet', '--wipe', 'always', '--no-tell-kernel', path], { input: script })
}
