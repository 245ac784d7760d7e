import { PineError } from '../core/error.ts'
import type { Host } from '../host/host.ts'

/** What decides where the blocks of an ext4 can lie; from its superblock, kernel Documentation/filesystems/ext4/super.rst. */
export interface Ext4 {
  uuid: string
  blockBytes: number
  /** All of them. */
  blocks: number
  blocksPerGroup: number
  inodesPerGroup: number
  /** Groups that have their bitmaps and inode tables side by side in the first of them; 1 without flex_bg. */
  flexGroups: number
  /** Of the inode table of one group. */
  tableBlocks: number
  /** Of a backup of the superblock with its descriptors, and what is kept free behind it to grow. */
  backupBlocks: number
  /** Features with which blocks lie otherwise than is reckoned here. */
  strange: string[]
}

const SUPERBLOCK_OFFSET = 1024
const SUPERBLOCK_BYTES = 1024
const MAGIC = 0xef53
const INCOMPAT_64BIT = 0x80
const INCOMPAT_FLEX = 0x200
/** Offset of a word of features, a bit of it, a name for it. */
const STRANGE: readonly (readonly [number, number, string])[] = [
  [0x5c, 0x200, 'sparse_super2'],
  [0x60, 0x10, 'meta_bg'],
  [0x60, 0x100, 'mmp'],
  [0x64, 0x200, 'bigalloc'],
]

/** Of a device, mounted or not. Throws `TAKEOVER_REFUSED` where there is no ext4. */
export async function readExt4(host: Pick<Host, 'openRegion'>, device: string): Promise<Ext4> {
  const region = await host.openRegion(device)
  const block = Buffer.alloc(SUPERBLOCK_BYTES)
  await region.read(block, SUPERBLOCK_OFFSET).finally(() => region.close())
  if (block.readUInt16LE(0x38) === MAGIC) return parseExt4(block)
  throw new PineError('TAKEOVER_REFUSED', `${device} has no superblock of an ext4`)
}

export function parseExt4(block: Buffer): Ext4 {
  const word = (offset: number) => block.readUInt32LE(offset)
  const has64 = (word(0x60) & INCOMPAT_64BIT) !== 0
  const blockBytes = 1024 * 2 ** word(0x18)
  const blocks = word(0x04) + (has64 ? word(0x150) * 2 ** 32 : 0)
  const [blocksPerGroup, inodesPerGroup] = [word(0x20), word(0x28)]
  const descriptorBytes = has64 ? block.readUInt16LE(0xfe) : 32
  const groups = Math.ceil(blocks / blocksPerGroup)
  return {
    uuid: block.toString('hex', 0x68, 0x78).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-'),
    ...{ blockBytes, blocks, blocksPerGroup, inodesPerGroup },
    flexGroups: (word(0x60) & INCOMPAT_FLEX) === 0 ? 1 : 2 ** block.readUInt8(0x174),
    tableBlocks: Math.ceil((inodesPerGroup * block.readUInt16LE(0x58)) / blockBytes),
    backupBlocks: 1 + Math.ceil((groups * descriptorBytes) / blockBytes) + block.readUInt16LE(0xce),
    strange: STRANGE.filter(([offset, bit]) => (word(offset) & bit) !== 0).map(([, , name]) => name),
  }
}

/** In blocks, the end not included. */
export interface Span {
  from: number
  to: number
}

/**
 * What is free behind `target` once the file system has been made that small and as large again: all but backups of the
 * superblock, and bitmaps and inode tables at the start of each flex group. Measured with resize2fs 1.47: see
 * test/hijack/shrink-regrow.test.ts.
 */
export function freeBehind(ext4: Ext4, target: number): Span[] {
  const { blocks, blocksPerGroup, flexGroups, tableBlocks, backupBlocks } = ext4
  const spans: Span[] = []
  let from = target
  for (let group = Math.floor(target / blocksPerGroup); group * blocksPerGroup < blocks; group++) {
    const backup = hasBackup(group) ? backupBlocks : 0
    const tables = group % flexGroups === 0 ? flexGroups * (tableBlocks + 2) : 0
    if (backup + tables === 0) continue
    const start = group * blocksPerGroup
    if (start > from) spans.push({ from, to: start })
    from = Math.max(from, start + backup + tables)
  }
  return from < blocks ? [...spans, { from, to: blocks }] : spans
}

/** The feature sparse_super, which none goes without: the first ones, and powers of 3, 5 and 7. */
function hasBackup(group: number): boolean {
  return (
    group <= 1 || [3, 5, 7].some((base) => base ** Math.round(Math.log(group) / Math.log(base)) === group)
  )
}
