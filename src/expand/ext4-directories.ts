import { nameOf } from '../core/file-name.ts'
import { inodePlaces } from './ext4-inodes.ts'
import type { Ext4Volume } from './ext4-superblock.ts'
import { HOLE, type Place } from './layout.ts'
import { broken } from './reader.ts'
import type { Entry } from './walk.ts'

// Linux Documentation/filesystems/ext4/directory.rst: the blocks of a hashed directory read as entries without an inode.
const HEADER_BYTES = 8
const TYPE_FILE = 1
const TYPE_DIRECTORY = 2
/** In a block of 64 KiB a length that does not fit 16 bits. */
const WHOLE_BLOCK = [0, 0xffff]

export interface Ext4Directory {
  readonly entries: readonly Entry[]
  readonly places: readonly Place[]
}

export async function readDirectory(volume: Ext4Volume, inode: number): Promise<Ext4Directory> {
  const places = (await inodePlaces(volume, inode)) ?? []
  const entries: Entry[] = []
  for (const { offset, bytes } of places) {
    if (offset === HOLE) continue
    const stored = await volume.reader.at(offset, bytes)
    for (let at = 0; at < bytes; at += volume.blockBytes) {
      entries.push(...blockEntries(stored.subarray(at, at + volume.blockBytes)))
    }
  }
  return { entries, places }
}

function blockEntries(block: Buffer): Entry[] {
  const entries: Entry[] = []
  for (let at = 0; at < block.length; ) {
    const inode = block.readUInt32LE(at)
    const length = block.readUInt16LE(at + 4)
    const type = block.readUInt8(at + 7)
    if (inode !== 0) {
      entries.push({
        name: nameOf(block.subarray(at + HEADER_BYTES, at + HEADER_BYTES + block.readUInt8(at + 6))),
        inode,
        kind: type === TYPE_FILE ? 'file' : type === TYPE_DIRECTORY ? 'directory' : 'other',
      })
    }
    if (WHOLE_BLOCK.includes(length)) break
    if (length < HEADER_BYTES) throw broken('a directory entry has no length')
    at += length
  }
  return entries
}
