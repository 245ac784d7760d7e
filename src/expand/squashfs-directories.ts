import { nameOf } from '../core/file-name.ts'
import { inodeReference, readDirectoryInode } from './squashfs-inodes.ts'
import type { MetadataTable } from './squashfs-tables.ts'
import type { Entry } from './walk.ts'

// Linux fs/squashfs/squashfs_fs.h, struct squashfs_dir_header and squashfs_dir_entry
const HEADER_BYTES = 12
const ENTRY_BYTES = 8
const TYPE_DIRECTORY = 1
const TYPE_FILE = 2

export interface DirectoryTables {
  readonly inodes: MetadataTable
  readonly directories: MetadataTable
}

/** The entries of a directory by its inode: runs of entries that have the block of their inodes in common. */
export function readDirectory({ inodes, directories }: DirectoryTables, reference: number): Entry[] {
  const { block, offset, bytes } = readDirectoryInode(inodes, reference)
  if (bytes <= 0) return []
  const start = directories.starts(block) + offset
  const listing = directories.content.subarray(start, start + bytes)
  const entries: Entry[] = []
  for (let at = 0; at < listing.length; ) {
    const count = listing.readUInt32LE(at) + 1
    const inodeBlock = listing.readUInt32LE(at + 4)
    at += HEADER_BYTES
    for (let index = 0; index < count; index += 1) {
      const nameBytes = listing.readUInt16LE(at + 6) + 1
      const type = listing.readUInt16LE(at + 4)
      entries.push({
        name: nameOf(listing.subarray(at + ENTRY_BYTES, at + ENTRY_BYTES + nameBytes)),
        inode: inodeReference(inodeBlock, listing.readUInt16LE(at)),
        kind: type === TYPE_FILE ? 'file' : type === TYPE_DIRECTORY ? 'directory' : 'other',
      })
      at += ENTRY_BYTES + nameBytes
    }
  }
  return entries
}
