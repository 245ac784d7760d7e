import type { ErofsSuperblock } from './erofs-superblock.ts'
import { HOLE, type Place, rawPlace } from './layout.ts'
import { broken, type ImageReader, readUInt64 } from './reader.ts'

// Linux fs/erofs/erofs_fs.h, struct erofs_inode_compact and erofs_inode_extended
const NID_BYTES = 32
const EXTENDED_BYTES = 64
const XATTR_HEADER_BYTES = 12
const NULL_BLOCK = 0xffffffff
const CHUNK_BITS = 0x1f
const CHUNK_INDEXES = 0x20
const CHUNK_KNOWN = 0x3f

/** The number each has in an inode. */
const DATA_LAYOUTS = ['plain', 'compressed-full', 'inline', 'compressed-compact', 'chunks'] as const
type DataLayout = (typeof DATA_LAYOUTS)[number]

export interface ErofsInode {
  readonly at: number
  /** The inode with its extended attributes; indexes or data follow. */
  readonly end: number
  readonly layout: DataLayout
  readonly bytes: number
  /** Block address, or what the layout has in its place; of a device its number. */
  readonly address: number
  /** With the type in its upper bits. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
}

export function isPacked({ layout }: ErofsInode): boolean {
  return layout === 'compressed-full' || layout === 'compressed-compact'
}

export interface ErofsVolume {
  readonly reader: ImageReader
  readonly superblock: ErofsSuperblock
}

export async function readInode({ reader, superblock }: ErofsVolume, nid: number): Promise<ErofsInode> {
  const at = superblock.inodesAt + nid * NID_BYTES
  const head = await reader.at(at, NID_BYTES)
  const format = head.readUInt16LE(0)
  const extended = (format & 1) === 1
  const layout = DATA_LAYOUTS[(format >> 1) & 7]
  if (layout === undefined) throw broken(`inode ${nid} has data layout ${(format >> 1) & 7}`)
  const attributes = head.readUInt16LE(2)
  const attributeBytes = attributes === 0 ? 0 : XATTR_HEADER_BYTES + 4 * (attributes - 1)
  return {
    at,
    end: at + (extended ? EXTENDED_BYTES : NID_BYTES) + attributeBytes,
    layout,
    bytes: extended ? readUInt64(head, 8) : head.readUInt32LE(8),
    address: head.readUInt32LE(16),
    mode: head.readUInt16LE(4),
    uid: extended ? head.readUInt32LE(24) : head.readUInt16LE(24),
    gid: extended ? head.readUInt32LE(28) : head.readUInt16LE(26),
  }
}

/** Where the data of an uncompressed inode is; undefined when it is on another device. */
export async function flatPlaces(volume: ErofsVolume, inode: ErofsInode): Promise<Place[] | undefined> {
  if (inode.layout === 'chunks') return chunkPlaces(volume, inode)
  const { blockBytes } = volume.superblock
  const start = inode.address * blockBytes
  if (inode.layout === 'plain') return [rawPlace(start, inode.bytes)]
  // The last block is not a block of its own, but follows the inode.
  const before = Math.max(0, Math.ceil(inode.bytes / blockBytes) - 1) * blockBytes
  return [rawPlace(start, before), rawPlace(inode.end, inode.bytes - before)]
}

async function chunkPlaces(
  { reader, superblock }: ErofsVolume,
  inode: ErofsInode,
): Promise<Place[] | undefined> {
  const format = inode.address & 0xffff
  if ((format & ~CHUNK_KNOWN) !== 0) return undefined
  const chunkBytes = superblock.blockBytes * 2 ** (format & CHUNK_BITS)
  const entryBytes = (format & CHUNK_INDEXES) === 0 ? 4 : 8
  const count = Math.ceil(inode.bytes / chunkBytes)
  const entries = await reader.at(Math.ceil(inode.end / entryBytes) * entryBytes, count * entryBytes)
  const places: Place[] = []
  for (let index = 0; index < count; index += 1) {
    const entry = entries.subarray(index * entryBytes, (index + 1) * entryBytes)
    if (entryBytes === 8 && entry.readUInt16LE(2) !== 0) return undefined
    const block = entry.readUInt32LE(entryBytes - 4)
    const bytes = Math.min(chunkBytes, inode.bytes - index * chunkBytes)
    places.push(rawPlace(block === NULL_BLOCK ? HOLE : block * superblock.blockBytes, bytes))
  }
  return places
}
