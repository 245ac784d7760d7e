import { coreImage } from '../boot/shipped-core.ts'
import type { Region } from '../core/region.ts'
import type { Host } from '../host/host.ts'
import { planBiosLoader } from './bios-loader.ts'
import { planConversion } from './convert.ts'
import { bootOption, hasGpt, type InTable, readDiskTable, requireNames, withNewSystem } from './disk-table.ts'
import type { TakeoverJournal } from './journal.ts'
import { type Flip, tableChange } from './table-change.ts'

/** What is known of the new system, and where the kernel has the old root. */
export interface CommitRequest extends InTable {
  root?: Omit<TakeoverJournal['root'], 'fsUuid'>
}

export interface CommitPlan {
  /** One after the other; each leaves a disk that starts. With BIOS our loader is the first from the last one on. */
  flips: Flip[]
  /** With UEFI: what the firmware is then told to start. */
  option: Buffer | undefined
}

/** Throws `LAYOUT_INVALID`, `TAKEOVER_REFUSED`. */
export async function planCommit(host: Host, disk: Region, request: CommitRequest): Promise<CommitPlan> {
  if (request.efi === null && !(await hasGpt(disk)))
    return { flips: await planConversion(disk, await coreImage(host), request), option: undefined }
  const found = await readDiskTable(disk)
  const { table, head } = found
  requireNames(table, request)
  // The new partitions are there, the old ones as well.
  const { prepare, flip } = tableChange(table, withNewSystem(table, request), head)
  if (request.efi !== null) return { flips: [{ prepare, flip }], option: bootOption(table, request) }
  const loader = await planBiosLoader(host, disk, found)
  const flips = [
    { prepare: [...prepare, loader.core], flip },
    // Our loader starts, and the old system is one of the things that it can start.
    { prepare: [], flip: loader.boot },
  ]
  return { flips, option: undefined }
}
