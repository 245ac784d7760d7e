import { bootPartition } from '../boot/grub-script.ts'
import { writeNewBootstate } from '../boot/new-bootstate.ts'
import { PineError } from '../core/error.ts'
import { formatBytes } from '../core/format.ts'
import type { OnProgress, OnStage } from '../core/progress.ts'
import { withTempDir } from '../host/files.ts'
import type { Host } from '../host/host.ts'
import { makeStateFileSystem, swapHeader } from '../host/make-file-system.ts'
import { readTable, writeTable } from '../host/sfdisk.ts'
import { initialBootState } from '../model/boot-state.ts'
import { type Layout, type Partition, parseLayout } from '../model/layout.ts'
import { emptyRecords, type ImageRecord } from '../model/records.ts'
import { makeLoader } from './disk-loader.ts'
import { type FirstSlot, nameOfOrigin, type SlotOrigin, withFirstSlot } from './first-slot.ts'

export interface DiskRequest {
  /** The sfdisk script. */
  layout: string
  /** Of slot a. */
  origin: SlotOrigin
  /** On a disk, for what is large and goes again. */
  workDir: string
  /** An image file to make, or a device; its size is fixed. */
  target: string
  diskBytes: number
  compatible: string
  version: string
  epoch: number
  /** Further kernel arguments. */
  append: string
}

/** The boot sector up to the disk's signature and the partition table of the MBR. */
const BOOT_CODE_BYTES = 440

/** The layout on a disk of that size, tried out on a file that takes no more space than what is in slot a. Touches nothing else. */
export async function planLayout(host: Host, request: DiskRequest, onStage: OnStage): Promise<Layout> {
  return await withFirstSlot(host, { ...request, onStep: onStage }, (slot) => tryOut(host, request, slot))
}

async function tryOut(host: Host, request: DiskRequest, slot: FirstSlot): Promise<Layout> {
  return await withTempDir(async (dir) => {
    const trial = `${dir}/disk`
    await host.createSparse(trial, request.diskBytes)
    const layout = await tableOn(host, trial, request)
    await slot.requireFits(trial, layout.partitions['rootfs-a'])
    return layout
  }, slot.trialDir)
}

async function tableOn(host: Host, path: string, request: DiskRequest): Promise<Layout> {
  try {
    await writeTable(host, path, request.layout)
  } catch (error) {
    if (!(error instanceof PineError) || error.code !== 'TOOL_FAILED') throw error
    const size = formatBytes(request.diskBytes)
    throw new PineError('LAYOUT_INVALID', `the layout cannot be put on a disk of ${size}: ${error.message}`, {
      hint: 'take a larger disk or a smaller layout',
      cause: error,
    })
  }
  return parseLayout(await readTable(host, path), path)
}

/** What `buildDisk` will do, for a person. */
export function describeDisk(layout: Layout, request: DiskRequest): string {
  const partitions = Object.values(layout.partitions).sort((one, other) => one.offset - other.offset)
  const rows = partitions.map(({ role, number, offset, bytes }) => {
    const columns = [`  ${number}`, role.padEnd(10), formatBytes(bytes).padStart(9)]
    return `${columns.join('  ')}  at ${formatBytes(offset).padStart(9)}  ${contentOf(role, request)}`
  })
  return [`${request.target}, ${formatBytes(request.diskBytes)}:`, ...rows].join('\n')
}

function contentOf(role: Partition['role'], request: DiskRequest): string {
  const contents: Record<Partition['role'], string> = {
    'bios-boot': 'the loader (GRUB) for BIOS',
    esp: 'the loader (GRUB) for UEFI',
    bootstate: 'what boots, and pine-update\u2019s records',
    swap: 'swap',
    'rootfs-a': `${request.version} from ${nameOfOrigin(request.origin)}`,
    'rootfs-b': 'empty; the first update goes here',
    state: 'ext4 for /var, /home, /root and changes in /etc',
  }
  return contents[role]
}

/**
 * Puts layout, loader, image and an empty state partition on the target, and returns the layout as it is there.
 * Everything on it is lost; what `planLayout` refuses is refused before. What firmware looks for comes last: a disk that
 * was cut off in the middle does not boot something half written.
 */
export async function buildDisk(host: Host, request: DiskRequest, onStage: OnStage): Promise<Layout> {
  const onProgress: OnProgress = (done, total) => onStage('write slot a', done, total)
  return await withFirstSlot(host, { ...request, onStep: onStage }, (slot) =>
    writeDisk(host, { request, slot }, onProgress),
  )
}

interface Work {
  request: DiskRequest
  slot: FirstSlot
}

async function writeDisk(host: Host, { request, slot }: Work, onProgress: OnProgress): Promise<Layout> {
  // Made here only to see that it can be: nothing is lost yet, and the table on the target may differ by its alignment.
  await makeLoader(host, await tryOut(host, request, slot))
  await clearTable(host, request.target)
  const layout = await tableOn(host, request.target, request)
  const loader = await makeLoader(host, layout)
  const disk = await host.openRegion(request.target, { writable: true })
  try {
    // What the disk held before may start there: the boot code in any case, and a file system where the new one will be.
    await disk.write(Buffer.alloc(BOOT_CODE_BYTES), 0)
    for (const { bytes, offset } of loader.first) await disk.write(Buffer.alloc(bytes.length), offset)
    const { target, version, epoch } = request
    const content = await slot.write(target, disk, layout.partitions['rootfs-a'], onProgress)
    const record = { ...content, version, epoch, writtenAt: host.now().toISOString() }
    await writeBootstate(host, { layout, request }, record)
    const { swap, state } = layout.partitions
    await disk.write(await swapHeader(host, swap.bytes), swap.offset)
    await makeStateFileSystem(host, request.target, state)
    for (const { bytes, offset } of loader.body) await disk.write(bytes, offset)
    await disk.flush()
    for (const { bytes, offset } of loader.first) await disk.write(bytes, offset)
    await disk.flush()
  } finally {
    await disk.close()
  }
  return layout
}

/** A GPT and its copy, also with sectors of 4096 bytes. UEFI 2.10 §5.3.1 */
const TABLE_BYTES = 256 * 1024

/** Where there is no room, or the disk fails, it is told here: sfdisk would print no reason. */
async function clearTable(host: Host, path: string): Promise<void> {
  const disk = await host.openRegion(path, { writable: true })
  try {
    for (const at of [0, disk.bytes - TABLE_BYTES]) await disk.write(Buffer.alloc(TABLE_BYTES), at)
    await disk.flush()
  } finally {
    await disk.close()
  }
}

async function writeBootstate(
  host: Host,
  { layout, request }: { layout: Layout; request: DiskRequest },
  a: ImageRecord,
): Promise<void> {
  const script = {
    a: bootPartition(layout.partitions['rootfs-a']),
    b: bootPartition(layout.partitions['rootfs-b']),
    statePartuuid: layout.partitions.state.uuid,
    append: request.append,
  }
  const { compatible, epoch, version } = request
  const records = {
    ...emptyRecords(compatible),
    epochFloor: epoch,
    versionFloor: version,
    slots: { a, b: null },
  }
  const { offset, bytes } = layout.partitions.bootstate
  const region = await host.openRegion(request.target, { offset, bytes, writable: true })
  try {
    await writeNewBootstate(host, region, { state: initialBootState('a'), script, records })
  } finally {
    await region.close()
  }
}
