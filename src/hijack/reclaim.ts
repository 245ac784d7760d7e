import { PineError } from '../core/error.ts'
import type { Host } from '../host/host.ts'
import type { Facts } from '../model/facts.ts'
import type { GptTable } from '../model/gpt.ts'
import { resized, withoutEntry } from '../model/gpt-edit.ts'
import type { Layout, Partition } from '../model/layout.ts'
import type { PineDisk } from '../run/disk.ts'
import { requireLayout } from '../run/machine.ts'
import { readDiskTable, SECTOR_BYTES } from './disk-table.ts'
import { secureLoader } from './fallback-loader.ts'
import { applyFlip } from './pieces.ts'
import { tableChange } from './table-change.ts'

/** What becomes of the old system's room. */
export interface ReclaimPlan {
  /** Null where its entry is gone: only the file system may still have to grow. */
  old: NonNullable<Layout['old']> | null
  state: Partition
  /** Of the state partition, after. */
  stateBytes: number
}

/** Throws `TAKEOVER_ORDER` where the old system is still needed. */
export function planReclaim({ disk, layout, boot, booted, takeover }: Facts): ReclaimPlan {
  const { old, partitions } = requireLayout({ path: disk, layout })
  const { state } = partitions
  if (takeover?.stage === 'rehearsal' || booted === null || !boot.slots[booted].confirmed)
    throw new PineError(
      'TAKEOVER_ORDER',
      'the new system has not been confirmed: the old one is the only way back',
      {
        hint: 'run "pine-update health --boot" or "pine-update confirm" first',
      },
    )
  if (old === undefined) return { old: null, state, stateBytes: state.bytes }
  const oldEnd = old.offset + old.bytes
  const next = Object.values(partitions)
    .map(({ offset }) => offset)
    .filter((offset) => offset > state.offset)
  const end = Math.min(oldEnd, ...next)
  return { old, state, stateBytes: end - state.offset }
}

/**
 * The point of no return: the old system's entry goes, and the state partition grows over what is behind it. One sector
 * decides; a crash after it leaves a state partition larger than its file system, and the same command grows that. With UEFI
 * the loader is made safe before.
 */
export async function reclaim(
  host: Host,
  { path, layout }: Pick<PineDisk, 'path' | 'layout'>,
  plan: ReclaimPlan,
): Promise<void> {
  for (const tool of ['partx', 'udevadm']) await host.exec(tool, ['--version'])
  const { old } = plan
  if (old !== null) {
    await secureLoader(host, requireLayout({ path, layout }))
    await dropOld(host, path, { ...plan, old })
  }
  await tellKernel(host, path, plan)
}

async function dropOld(host: Host, path: string, plan: WithOld): Promise<void> {
  const disk = await host.openRegion(path, { writable: true })
  try {
    const { table, head } = await readDiskTable(disk)
    await applyFlip(disk, tableChange(table, withoutOld(table, plan), head))
  } finally {
    await disk.close()
  }
}

type WithOld = ReclaimPlan & { old: NonNullable<ReclaimPlan['old']> }

function withoutOld(table: GptTable, { old, state, stateBytes }: WithOld): GptTable {
  const lastLba = (state.offset + stateBytes) / SECTOR_BYTES - 1
  return resized(withoutEntry(table, old.number), state.number, lastLba)
}

/**
 * The partitions are in use, and the kernel would not read the table anew: it is told of each change. Where it was started
 * since, it knows; what is done already is done again without harm.
 */
async function tellKernel(host: Host, path: string, { old, state }: ReclaimPlan): Promise<void> {
  if (old !== null) await host.exec('partx', ['--delete', '--nr', String(old.number), path])
  await host.exec('partx', ['--update', '--nr', String(state.number), path])
  // What was written to the disk had udev look at partitions that the table and the kernel did not agree on.
  await host.exec('udevadm', ['trigger', '--settle', '--subsystem-match=block'])
  await host.exec('resize2fs', [`/dev/disk/by-partuuid/${state.uuid}`], { timeoutMs: 600_000 })
}
