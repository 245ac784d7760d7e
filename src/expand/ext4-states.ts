import { nameOf } from '../core/file-name.ts'
import { type FileState, MAX_TARGET_BYTES, MODE_MASK, typeOfMode } from '../core/file-state.ts'
import { inodeBytes, inodePlaces, MAP_AT, MAP_BYTES, readInode } from './ext4-inodes.ts'
import type { Ext4Volume } from './ext4-superblock.ts'
import { HOLE } from './layout.ts'
import { broken } from './reader.ts'

// Linux Documentation/filesystems/ext4/inodes.rst: offsets of the upper halves of the ids, in osd2
const UID_HIGH_AT = 120
const GID_HIGH_AT = 122

export async function readState(volume: Ext4Volume, number: number): Promise<FileState> {
  const inode = await readInode(volume, number)
  const mode = inode.readUInt16LE(0)
  const type = typeOfMode(mode)
  if (type === undefined) throw broken(`inode ${number} has mode ${mode}`)
  const owned = {
    type,
    mode: mode & MODE_MASK,
    uid: inode.readUInt16LE(2) + inode.readUInt16LE(UID_HIGH_AT) * 0x10000,
    gid: inode.readUInt16LE(24) + inode.readUInt16LE(GID_HIGH_AT) * 0x10000,
  }
  switch (type) {
    case 'file':
      return { ...owned, bytes: inodeBytes(inode) }
    case 'symlink':
      return { ...owned, target: nameOf(await readTarget(volume, number, inode)) }
    case 'block':
    case 'character':
      return { ...owned, device: deviceOf(inode) }
    default:
      return owned
  }
}

/** Where extents would be, if it is short enough. */
async function readTarget(volume: Ext4Volume, number: number, inode: Buffer): Promise<Buffer> {
  const bytes = inodeBytes(inode)
  if (bytes > MAX_TARGET_BYTES) throw broken(`a symlink of ${bytes} bytes`)
  const places = await inodePlaces(volume, number)
  if (places === undefined) {
    if (bytes > MAP_BYTES) throw broken(`symlink ${number} has ${bytes} bytes in its inode`)
    return inode.subarray(MAP_AT, MAP_AT + bytes)
  }
  const parts: Buffer[] = []
  for (const { offset, bytes: length } of places)
    parts.push(offset === HOLE ? Buffer.alloc(length) : await volume.reader.at(offset, length))
  return Buffer.concat(parts)
}

// Linux fs/ext4/inode.c: 16 bits in the first block number, or 32 in the second.
function deviceOf(inode: Buffer): number {
  return inode.readUInt32LE(MAP_AT) || inode.readUInt32LE(MAP_AT + 4)
}
