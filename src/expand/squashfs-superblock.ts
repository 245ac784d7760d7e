import { broken, readUInt64 } from './reader.ts'

// Linux Documentation/filesystems/squashfs.rst and fs/squashfs/squashfs_fs.h, struct squashfs_super_block
const MAGIC = 0x73717368
const VERSION_MAJOR = 4
const FLAG_OPTIONS = 1 << 10
export const SUPERBLOCK_BYTES = 96
const MAX_BLOCK_BYTES = 1024 * 1024
export const NO_TABLE = -1

const COMPRESSIONS = ['none', 'gzip', 'lzma', 'lzo', 'xz', 'lz4', 'zstd'] as const
type Compression = (typeof COMPRESSIONS)[number]

export interface SquashfsSuperblock {
  readonly blockBytes: number
  readonly compression: Compression
  /** Whether the options of the compressor follow, in a metadata block that is not packed. */
  readonly hasOptions: boolean
  readonly fragments: number
  readonly inodes: number
  readonly ids: number
  readonly rootInode: number
  readonly usedBytes: number
  /** Positions; `NO_TABLE` where the image has none. */
  readonly tables: Readonly<
    Record<'inodes' | 'directories' | 'fragments' | 'export' | 'ids' | 'xattrs', number>
  >
}

export function isSquashfs(head: Buffer): boolean {
  return head.readUInt32LE(0) === MAGIC && head.readUInt16LE(28) === VERSION_MAJOR
}

/** Throws `RangeError` for what no squashfs has. */
export function parseSquashfsSuperblock(head: Buffer): SquashfsSuperblock {
  const compression = COMPRESSIONS[head.readUInt16LE(20)] ?? 'none'
  const blockBytes = head.readUInt32LE(12)
  if (blockBytes > MAX_BLOCK_BYTES) throw broken(`blocks of ${blockBytes} bytes`)
  const table = (offset: number): number =>
    head.readBigInt64LE(offset) === -1n ? NO_TABLE : readUInt64(head, offset)
  return {
    blockBytes,
    compression,
    hasOptions: (head.readUInt16LE(24) & FLAG_OPTIONS) !== 0,
    fragments: head.readUInt32LE(16),
    inodes: head.readUInt32LE(4),
    ids: head.readUInt16LE(26),
    rootInode: readUInt64(head, 32),
    usedBytes: readUInt64(head, 40),
    tables: {
      ids: table(48),
      xattrs: table(56),
      inodes: table(64),
      directories: table(72),
      fragments: table(80),
      export: table(88),
    },
  }
}
