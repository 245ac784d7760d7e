import { nameOf } from '../core/file-name.ts'
import { type FileState, type FileType, MAX_TARGET_BYTES, MODE_MASK } from '../core/file-state.ts'
import { broken, readUInt64 } from './reader.ts'
import type { MetadataTable } from './squashfs-tables.ts'

// Linux fs/squashfs/squashfs_fs.h, struct squashfs_dir_inode, squashfs_ldir_inode, squashfs_reg_inode, squashfs_lreg_inode
const TYPE_DIRECTORY = 1
const TYPE_FILE = 2
const TYPE_LONG_DIRECTORY = 8
const TYPE_LONG_FILE = 9
const NO_FRAGMENT = 0xffffffff

/** An inode reference: the position of its metadata block in the table, then 16 bits of offset in the content. */
export function inodeReference(block: number, offset: number): number {
  return block * 0x10000 + offset
}

function inodeAt(inodes: MetadataTable, reference: number): Buffer {
  return inodes.content.subarray(inodes.starts(Math.floor(reference / 0x10000)) + (reference % 0x10000))
}

export interface DirectoryInode {
  readonly block: number
  readonly offset: number
  readonly bytes: number
}

/** The size of a directory counts `.` and `..`, which are not in its table, as three bytes. */
const IMPLIED_BYTES = 3

export function readDirectoryInode(inodes: MetadataTable, reference: number): DirectoryInode {
  const inode = inodeAt(inodes, reference)
  const type = inode.readUInt16LE(0)
  if (type === TYPE_DIRECTORY) {
    const bytes = inode.readUInt16LE(24) - IMPLIED_BYTES
    return { block: inode.readUInt32LE(16), offset: inode.readUInt16LE(26), bytes }
  }
  if (type === TYPE_LONG_DIRECTORY) {
    const bytes = inode.readUInt32LE(20) - IMPLIED_BYTES
    return { block: inode.readUInt32LE(24), offset: inode.readUInt16LE(34), bytes }
  }
  throw broken(`inode ${reference} is no directory`)
}

export interface FileInode {
  readonly start: number
  readonly bytes: number
  readonly fragment: { readonly index: number; readonly offset: number } | undefined
  /** Stored size of each block, with its flag. */
  readonly blocks: readonly number[]
}

export function readFileInode(inodes: MetadataTable, reference: number, blockBytes: number): FileInode {
  const inode = inodeAt(inodes, reference)
  switch (inode.readUInt16LE(0)) {
    case TYPE_FILE: {
      const place = { start: inode.readUInt32LE(16), bytes: inode.readUInt32LE(28) }
      return { ...place, ...tailAndBlocks(inode, { fragmentAt: 20, blocksAt: 32 }, place.bytes / blockBytes) }
    }
    case TYPE_LONG_FILE: {
      const place = { start: readUInt64(inode, 16), bytes: readUInt64(inode, 24) }
      return { ...place, ...tailAndBlocks(inode, { fragmentAt: 44, blocksAt: 56 }, place.bytes / blockBytes) }
    }
    default:
      throw broken(`inode ${reference} is no file`)
  }
}

interface FileFields {
  readonly fragmentAt: number
  readonly blocksAt: number
}

/** `count`: length of the file in blocks; what is left over is in a fragment or, without one, in a block of its own. */
function tailAndBlocks(
  inode: Buffer,
  { fragmentAt, blocksAt }: FileFields,
  count: number,
): Pick<FileInode, 'fragment' | 'blocks'> {
  const index = inode.readUInt32LE(fragmentAt)
  const fragment = index === NO_FRAGMENT ? undefined : { index, offset: inode.readUInt32LE(fragmentAt + 4) }
  const blocks: number[] = []
  for (let block = 0; block < (fragment === undefined ? Math.ceil(count) : Math.floor(count)); block += 1) {
    blocks.push(inode.readUInt32LE(blocksAt + block * 4))
  }
  return { fragment, blocks }
}

/** By number; the longer form of each has seven more. */
const TYPES: readonly (FileType | undefined)[] = [
  undefined,
  ...(['directory', 'file', 'symlink', 'block', 'character', 'fifo', 'socket'] as const),
]
const LONG_FORM = 7

interface InodeTables {
  readonly inodes: MetadataTable
  /** User and group ids, which inodes name by their place. */
  readonly ids: MetadataTable
}

// struct squashfs_base_inode, squashfs_symlink_inode and squashfs_dev_inode
export function readState({ inodes, ids }: InodeTables, reference: number): FileState {
  const inode = inodeAt(inodes, reference)
  const number = inode.readUInt16LE(0)
  const type = TYPES[number > LONG_FORM ? number - LONG_FORM : number]
  if (type === undefined) throw broken(`inode ${reference} has type ${number}`)
  const idAt = (offset: number): number => ids.content.readUInt32LE(4 * inode.readUInt16LE(offset))
  const owned = { type, mode: inode.readUInt16LE(2) & MODE_MASK, uid: idAt(4), gid: idAt(6) }
  switch (type) {
    case 'file':
      return { ...owned, bytes: number === TYPE_FILE ? inode.readUInt32LE(28) : readUInt64(inode, 24) }
    case 'symlink': {
      const bytes = inode.readUInt32LE(20)
      if (bytes > MAX_TARGET_BYTES) throw broken(`a symlink of ${bytes} bytes`)
      return { ...owned, target: nameOf(inode.subarray(24, 24 + bytes)) }
    }
    case 'block':
    case 'character':
      return { ...owned, device: inode.readUInt32LE(20) }
    default:
      return owned
  }
}
