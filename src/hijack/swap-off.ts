import { basename } from 'node:path'
import type { Host } from '../host/host.ts'
import type { TakeoverJournal } from './journal.ts'

/** What is there has to be read back into memory. */
const SWAPOFF_MS = 600_000

/**
 * Has the old system stop swapping to the new one: systemd takes each partition of that type on the disk of its root, once it
 * is in the table. systemd-gpt-auto-generator(8). Before its blocks are given back: pages of memory would be written over
 * somebody's file. Throws `TOOL_FAILED` where there is not enough memory for that.
 */
export async function stopSwapping(
  host: Host,
  { disk, parts }: Pick<TakeoverJournal, 'disk' | 'parts'>,
): Promise<void> {
  const swaps = String((await host.readFile('/proc/swaps')) ?? '')
  for (const [device] of swaps.matchAll(/^\/dev\/\S+/gm)) {
    const start = await host.readFile(`/sys/class/block/${basename(disk.path)}/${basename(device)}/start`)
    // /sys counts in units of 512 bytes, whatever the sectors of the disk.
    const offset = start === undefined ? undefined : Number(start) * 512
    if (parts.some((part) => part.offset === offset))
      await host.exec('swapoff', [device], { timeoutMs: SWAPOFF_MS })
  }
}
