import { formatBootstate } from '../boot/bootstate-area.ts'
import { renderGrubCfg } from '../boot/grub-script.ts'
import { writeMeta } from '../boot/grub-state.ts'
import { PineError } from '../core/error.ts'
import { formatBytes } from '../core/format.ts'
import type { OnProgress } from '../core/progress.ts'
import { type OpenRegion, type Region, readParts } from '../core/region.ts'
import { readAsset } from '../host/assets.ts'
import { withTempDir } from '../host/files.ts'
import type { Host } from '../host/host.ts'
import { nativeHashing } from '../host/native.ts'
import { readTable, writeTable } from '../host/sfdisk.ts'
import { initialBootState } from '../model/boot-state.ts'
import { type Layout, type Partition, parseLayout, type Role } from '../model/layout.ts'
import { emptyRecords, type ImageRecord } from '../model/records.ts'
import { makeLoader } from './disk-loader.ts'
import { detectFileSystem, requireBootable } from './file-system.ts'

export interface DiskRequest {
  /** The sfdisk script. */
  layout: string
  image: string
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

/** The layout on a disk of that size, tried out on a file that takes no space. Touches nothing else. */
export async function planLayout(host: Host, request: DiskRequest): Promise<Layout> {
  const layout = await withTempDir(async (dir) => {
    const trial = `${dir}/disk`
    await host.createSparse(trial, request.diskBytes)
    return tableOn(host, trial, request)
  })
  const image = await host.openRegion(request.image)
  await requireBootable(image).finally(() => image.close())
  const slot = layout.partitions['rootfs-a'].bytes
  if (image.bytes > slot) {
    throw new PineError(
      'IMAGE_TOO_BIG',
      `the image has ${image.bytes} bytes, a slot of this layout ${slot}`,
      {
        hint: 'take a layout with larger slots, or make the image smaller',
      },
    )
  }
  return layout
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
    'rootfs-a': `${request.version} from ${request.image}`,
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
export async function buildDisk(host: Host, request: DiskRequest, onProgress: OnProgress): Promise<Layout> {
  // Made here only to see that it can be: nothing is lost yet, and the table on the target may differ by its alignment.
  await makeLoader(host, await planLayout(host, request))
  await clearTable(host, request.target)
  const layout = await tableOn(host, request.target, request)
  const loader = await makeLoader(host, layout)
  const disk = await host.openRegion(request.target, { writable: true })
  try {
    // What the disk held before may start there: the boot code in any case, and a file system where the new one will be.
    await disk.write(Buffer.alloc(BOOT_CODE_BYTES), 0)
    for (const { bytes, offset } of loader.first) await disk.write(Buffer.alloc(bytes.length), offset)
    const record = await copyImage(host, { disk, layout, request }, onProgress)
    await writeBootstate(host, { layout, request }, record)
    await makeSwap(host, disk, layout)
    await makeState(host, layout, request.target)
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

interface Work {
  disk: Region
  layout: Layout
  request: DiskRequest
}

async function copyImage(host: Host, work: Work, onProgress: OnProgress): Promise<ImageRecord> {
  const { request, disk } = work
  const image = await host.openRegion(request.image)
  try {
    const digest = await copy(image, disk, work.layout.partitions['rootfs-a'].offset, onProgress)
    const { version, epoch } = request
    const fs = await detectFileSystem(image)
    return { digest, bytes: image.bytes, fs, version, epoch, writtenAt: host.now().toISOString() }
  } finally {
    await image.close()
  }
}

async function copy(from: Region, to: Region, offset: number, onProgress: OnProgress): Promise<string> {
  const hasher = nativeHashing().createHasher()
  for await (const { part, position } of readParts(from, from.bytes)) {
    hasher.update(part)
    await to.write(part, offset + position)
    onProgress(position + part.length, from.bytes)
  }
  return hasher.hex()
}

async function writeBootstate(
  host: Host,
  { layout, request }: Omit<Work, 'disk'>,
  a: ImageRecord,
): Promise<void> {
  const grubCfg = renderGrubCfg((await readAsset(host, 'grub.cfg')).toString(), {
    a: bootPartition(layout, 'rootfs-a'),
    b: bootPartition(layout, 'rootfs-b'),
    statePartuuid: layout.partitions.state.uuid,
    append: request.append,
    sleepSeconds: 30,
  })
  const { offset, bytes } = layout.partitions.bootstate
  const region = await host.openRegion(request.target, { offset, bytes, writable: true })
  try {
    await region.write(formatBootstate({ state: initialBootState('a'), grubCfg }), 0)
    const records = emptyRecords(request.compatible)
    const floors = { epochFloor: request.epoch, versionFloor: request.version }
    // Twice: from the first day a bad sector leaves one of the two copies.
    for (let copies = 0; copies < 2; copies++)
      await writeMeta(region, { ...records, ...floors, slots: { ...records.slots, a } })
  } finally {
    await region.close()
  }
}

function bootPartition(layout: Layout, role: Role): { part: string; partuuid: string } {
  const { number, uuid } = layout.partitions[role]
  return { part: `gpt${number}`, partuuid: uuid }
}

/** mkswap knows no offset, so the header page is made on a file of the same size and copied over. */
async function makeSwap(host: Host, disk: OpenRegion, layout: Layout): Promise<void> {
  const { offset, bytes } = layout.partitions.swap
  const page = Buffer.alloc(4096)
  await withTempDir(async (dir) => {
    const file = `${dir}/swap`
    await host.createSparse(file, bytes)
    await host.exec('mkswap', ['--label', 'swap', file])
    const header = await host.openRegion(file)
    await header.read(page, 0)
    await header.close()
  })
  await disk.write(page, offset)
}

async function makeState(host: Host, layout: Layout, target: string): Promise<void> {
  const { offset, bytes } = layout.partitions.state
  const options = ['-E', `offset=${offset}`, '-L', 'state', '-e', 'remount-ro', '-m', '1']
  await host.exec('mke2fs', ['-q', '-F', '-t', 'ext4', ...options, target, `${Math.floor(bytes / 1024)}k`], {
    timeoutMs: 600_000,
  })
}
