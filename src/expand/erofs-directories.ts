import { nameOf } from '../core/file-name.ts'
import { type ErofsVolume, flatPlaces, isPacked, readInode } from './erofs-inodes.ts'
import type { Place } from './layout.ts'
import { broken, type ImageReader, readUInt64 } from './reader.ts'
import type { Entry } from './walk.ts'

// Linux fs/erofs/erofs_fs.h, struct erofs_dirent: each block starts with its entries, their names follow.
const ENTRY_BYTES = 12
const TYPE_FILE = 1
const TYPE_DIRECTORY = 2

export interface ErofsDirectory {
  readonly entries: readonly Entry[]
  readonly places: readonly Place[]
}

export async function readDirectory(volume: ErofsVolume, nid: number): Promise<ErofsDirectory> {
  const inode = await readInode(volume, nid)
  const places = isPacked(inode) ? undefined : await flatPlaces(volume, inode)
  // Packed directories exist only since Linux 6.16 and only where they are asked for.
  if (places === undefined) throw broken(`directory ${nid} is packed`)
  const bytes = await readPlaces(volume.reader, places)
  const entries: Entry[] = []
  for (let at = 0; at < bytes.length; at += volume.superblock.directoryBlockBytes) {
    entries.push(...blockEntries(bytes.subarray(at, at + volume.superblock.directoryBlockBytes)))
  }
  return { entries, places }
}

export async function readPlaces(reader: ImageReader, places: readonly Place[]): Promise<Buffer> {
  const parts: Buffer[] = []
  for (const { offset, bytes } of places) if (bytes > 0) parts.push(await reader.at(offset, bytes))
  return Buffer.concat(parts)
}

function blockEntries(block: Buffer): Entry[] {
  const entries: Entry[] = []
  const count = Math.floor(block.readUInt16LE(8) / ENTRY_BYTES)
  for (let index = 0; index < count; index += 1) {
    const at = index * ENTRY_BYTES
    const start = block.readUInt16LE(at + 8)
    const end = index + 1 < count ? block.readUInt16LE(at + ENTRY_BYTES + 8) : block.length
    const type = block.readUInt8(at + 10)
    entries.push({
      // The last name ends at a zero byte or with the block.
      name: nameOf(upToZero(block.subarray(start, end))),
      inode: readUInt64(block, at),
      kind: type === TYPE_FILE ? 'file' : type === TYPE_DIRECTORY ? 'directory' : 'other',
    })
  }
  return entries
}

function upToZero(bytes: Buffer): Buffer {
  const zero = bytes.indexOf(0)
  return zero < 0 ? bytes : bytes.subarray(0, zero)
}
