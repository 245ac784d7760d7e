import { broken } from './reader.ts'

// Linux fs/erofs/erofs_fs.h and Documentation/filesystems/erofs.rst
const SUPERBLOCK_AT = 1024
const MAGIC = 0xe0f5e1e2
const INCOMPAT_ZERO_PADDING = 0x01
/** Zero padding, compression configurations, big clusters, chunks, devices, second head, packed tails, fragments, xattr prefixes. */
const INCOMPAT_KNOWN = 0x7f

export interface ErofsSuperblock {
  readonly blockBytes: number
  readonly directoryBlockBytes: number
  readonly rootNid: number
  /** Where inode numbers count from, in bytes. */
  readonly inodesAt: number
  /** A cluster that is not full has its zeros before the data; without it, behind. */
  readonly padsBefore: boolean
}

export function isErofs(head: Buffer): boolean {
  return head.readUInt32LE(SUPERBLOCK_AT) === MAGIC
}

/** Throws `RangeError` for features of which the layout is not known. */
export function parseErofsSuperblock(head: Buffer): ErofsSuperblock {
  const at = SUPERBLOCK_AT
  const incompatible = head.readUInt32LE(at + 80)
  if ((incompatible & ~INCOMPAT_KNOWN) !== 0) throw broken(`it has features ${incompatible.toString(16)}`)
  const blockBits = head.readUInt8(at + 12)
  if (blockBits < 9 || blockBits > 16) throw broken(`blocks of 2^${blockBits} bytes`)
  const blockBytes = 1 << blockBits
  return {
    blockBytes,
    directoryBlockBytes: blockBytes << (head.readUInt8(at + 90) & 7),
    rootNid: head.readUInt16LE(at + 14),
    inodesAt: head.readUInt32LE(at + 40) * blockBytes,
    padsBefore: (incompatible & INCOMPAT_ZERO_PADDING) !== 0,
  }
}
