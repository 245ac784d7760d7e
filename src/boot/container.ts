import type { Host } from '../host/host.ts'
import { parseCmdline } from '../model/cmdline.ts'

/** The machine of a container. Its boot state is that of a disk, byte for byte, so `BACKENDS` has nothing of its own for it. */
export const CONTAINER = '/.pine'

/**
 * What the init of this container told of the start, in the words of a kernel command line. Undefined where this is none of
 * ours, or where the file is of another start: `pine.init` is when PID 1 was started.
 */
export async function readContainerCmdline(host: Host): Promise<Map<string, string> | undefined> {
  const text = await host.readFile(`${CONTAINER}/cmdline`)
  if (text === undefined) return undefined
  const cmdline = parseCmdline(text.toString())
  return cmdline.get('pine.init') === (await startOfInit(host)) ? cmdline : undefined
}

/** Field 22 of proc_pid_stat(5); the name before it may hold spaces and brackets. */
async function startOfInit(host: Host): Promise<string> {
  const stat = String((await host.readFile('/proc/1/stat')) ?? '')
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? 'unknown'
}
