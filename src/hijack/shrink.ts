import type { Carving } from '../host/extents.ts'
import type { Host } from '../host/host.ts'
import { readExt4 } from './ext4.ts'
import { REPAIR_ID, withRepairEntry } from './grub-once.ts'
import { FOLDER } from './journal.ts'
import type { OldSystem } from './old-system.ts'
import { disarmRehearsal, startEntryOnce } from './rehearse.ts'
import { type ShrinkOutcome, shrinkOutcome } from './shrink-outcome.ts'
import type { ShrinkPlan } from './shrink-plan.ts'
import { readShrinkRecord, SHRINK_LOG, writeShrinkRecord } from './shrink-record.ts'
import { isShutdownStage, makeShutdownStage, removeShutdownStage } from './shrink-stage.ts'

/** How the old system starts, and the UUID of the file system that its kernel is on. */
export interface OldStart {
  old: OldSystem
  fsUuid: string
}

const RESIZE_MS = 10 * 60_000

/**
 * Has the root made smaller, and as large again, when the machine restarts. That it happens is decided last: a crash before
 * leaves a start of the old system that repairs what there is to repair, nothing.
 *
 * That start is why a power cut meanwhile can be survived. resize2fs first copies blocks to where others are free, which
 * changes nothing that counts, and then writes inodes. Cut off there, `e2fsck -p` gives up, and Debian's initramfs waits at
 * a console for somebody; `e2fsck -y`, which that start runs, puts it right.
 */
export async function armShrink(
  host: Host,
  carving: Carving,
  plan: ShrinkPlan,
  { old, fsUuid }: OldStart,
): Promise<void> {
  const { device, full, target } = plan
  await disarmShrink(host, carving)
  await host.exec('mkdir', ['-p', FOLDER])
  await host.removeFile(SHRINK_LOG)
  await writeShrinkRecord(host, { bootId: await bootIdOf(host), device, full, target })
  try {
    const entry = { ...old, fsUuid }
    await startEntryOnce(host, carving, REPAIR_ID, (custom) => withRepairEntry(custom, entry))
    await makeShutdownStage(host, plan)
  } catch (error) {
    // What went wrong first is what matters.
    await disarmShrink(host, carving).catch(() => undefined)
    throw error
  }
}

/**
 * Nothing is moved at the next restart: what is carved must not be. One that left the file system smaller is made up for.
 * What it said stays.
 */
export async function disarmShrink(host: Host, carving: Carving): Promise<void> {
  await removeShutdownStage(host)
  const record = await readShrinkRecord(host)
  if (record === undefined) return
  await disarmRehearsal(host, carving)
  const { device, target, full } = record
  const { blocks } = await readExt4(host, device)
  // While it is mounted: the kernel can make it larger, not smaller.
  if (blocks === target && blocks < full)
    await host.exec('resize2fs', [device, String(full)], { timeoutMs: RESIZE_MS })
}

/** What came of it, from what is on the disk. Undefined where none was armed. */
export async function observeShrink(host: Host): Promise<ShrinkOutcome | undefined> {
  const record = await readShrinkRecord(host)
  if (record === undefined) return undefined
  const log = (await host.readFile(SHRINK_LOG))?.toString()
  const { blocks } = await readExt4(host, record.device)
  const [isWaiting, bootId] = [await isShutdownStage(host), await bootIdOf(host)]
  return shrinkOutcome({ record, log, isWaiting, bootId, blocks })
}

async function bootIdOf(host: Pick<Host, 'readFile'>): Promise<string> {
  return ((await host.readFile('/proc/sys/kernel/random/boot_id'))?.toString() ?? '').trim()
}
