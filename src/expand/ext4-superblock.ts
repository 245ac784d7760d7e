import { broken, type ImageReader } from './reader.ts'

// Linux Documentation/filesystems/ext4/super.rst and group_descr.rst
const SUPERBLOCK_AT = 1024
const MAGIC = 0xef53
const INCOMPAT_64BIT = 0x80
/** Types in directories, journal to recover, extents, 64 bit, flexible groups, checksum seed, large directories, inline data, case folding. */
const INCOMPAT_KNOWN = 0x02 | 0x04 | 0x40 | INCOMPAT_64BIT | 0x200 | 0x2000 | 0x4000 | 0x8000 | 0x20000
const RO_COMPAT_GROUP_CHECKSUMS = 0x10 | 0x400
const SMALL_DESCRIPTOR_BYTES = 32
const ROOT_INODE = 2

export interface Ext4Volume {
  readonly reader: ImageReader
  readonly blockBytes: number
  readonly inodeBytes: number
  readonly inodesPerGroup: number
  readonly rootInode: number
  readonly groups: readonly Ext4Group[]
  /** The table of group descriptors. */
  readonly descriptors: { readonly at: number; readonly bytes: number }
}

/** Positions in bytes. */
export interface Ext4Group {
  readonly blockBitmap: number
  readonly inodeBitmap: number
  readonly inodeTable: number
  /** Inodes of the table that were ever used; the rest of it may hold anything. */
  readonly inodes: number
}

export function isExt4(head: Buffer): boolean {
  return head.readUInt16LE(SUPERBLOCK_AT + 56) === MAGIC
}

/** Throws `RangeError` for features of which the layout is not known. */
export async function readExt4Volume(reader: ImageReader, head: Buffer): Promise<Ext4Volume> {
  const superblock = head.subarray(SUPERBLOCK_AT)
  const incompatible = superblock.readUInt32LE(96)
  if ((incompatible & ~INCOMPAT_KNOWN) !== 0) throw broken(`it has features ${incompatible.toString(16)}`)
  const blockBytes = 1024 * 2 ** superblock.readUInt32LE(24)
  const inodesPerGroup = superblock.readUInt32LE(40)
  const wide = (incompatible & INCOMPAT_64BIT) !== 0
  const descriptorBytes = wide ? superblock.readUInt16LE(254) : SMALL_DESCRIPTOR_BYTES
  const count = Math.ceil(superblock.readUInt32LE(0) / inodesPerGroup)
  const at = (superblock.readUInt32LE(20) + 1) * blockBytes
  const table = await reader.at(at, count * descriptorBytes)
  const counted = (superblock.readUInt32LE(100) & RO_COMPAT_GROUP_CHECKSUMS) !== 0
  const groups = Array.from({ length: count }, (_, group) => {
    const descriptor = table.subarray(group * descriptorBytes, (group + 1) * descriptorBytes)
    const position = (low: number, high: number): number =>
      (descriptor.readUInt32LE(low) + (wide ? descriptor.readUInt32LE(high) * 2 ** 32 : 0)) * blockBytes
    const unused =
      (counted ? descriptor.readUInt16LE(28) : 0) + (counted && wide ? descriptor.readUInt16LE(50) << 16 : 0)
    return {
      blockBitmap: position(0, 32),
      inodeBitmap: position(4, 36),
      inodeTable: position(8, 40),
      inodes: Math.max(0, inodesPerGroup - unused),
    }
  })
  const inodeBytes = superblock.readUInt16LE(88)
  const descriptors = { at, bytes: table.length }
  return { reader, blockBytes, inodeBytes, inodesPerGroup, rootInode: ROOT_INODE, groups, descriptors }
}
