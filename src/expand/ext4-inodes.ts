import type { Ext4Volume } from './ext4-superblock.ts'
import { HOLE, type Place, rawPlace } from './layout.ts'
import { broken } from './reader.ts'

// Linux Documentation/filesystems/ext4/inodes.rst and ifork.rst (extent tree)
const FLAG_EXTENTS = 0x80000
const EXTENT_MAGIC = 0xf30a
const EXTENT_BYTES = 12
export const MAP_AT = 40
export const MAP_BYTES = 60
/** An extent longer than this is allocated but was never written: zeros, and this much shorter. */
const WRITTEN_BLOCKS = 32768
const MAX_DEPTH = 5

/** Where the data of an inode is; undefined when it is not mapped by extents. */
export async function inodePlaces(volume: Ext4Volume, number: number): Promise<Place[] | undefined> {
  const inode = await readInode(volume, number)
  if ((inode.readUInt32LE(32) & FLAG_EXTENTS) === 0) return undefined
  const bytes = inodeBytes(inode)
  const root = inode.subarray(MAP_AT, MAP_AT + MAP_BYTES)
  const extents = await readExtents({ volume, seen: new Set() }, root, MAX_DEPTH)
  return placesOf(extents, bytes, volume.blockBytes)
}

export function inodeBytes(inode: Buffer): number {
  const bytes = inode.readUInt32LE(4) + inode.readUInt32LE(108) * 2 ** 32
  if (!Number.isSafeInteger(bytes)) throw broken(`an inode has ${bytes} bytes`)
  return bytes
}

export async function readInode(volume: Ext4Volume, number: number): Promise<Buffer> {
  const index = (number - 1) % volume.inodesPerGroup
  const group = volume.groups[Math.floor((number - 1) / volume.inodesPerGroup)]
  if (group === undefined || index >= group.inodes) throw broken(`there is no inode ${number}`)
  return volume.reader.at(group.inodeTable + index * volume.inodeBytes, volume.inodeBytes)
}

/** In blocks. */
interface Extent {
  readonly logical: number
  readonly physical: number
  readonly count: number
}

interface ExtentTree {
  readonly volume: Ext4Volume
  /** Blocks of the tree. One block many times in each of four levels would be millions of nodes. */
  readonly seen: Set<number>
}

async function readExtents(tree: ExtentTree, node: Buffer, maxDepth: number): Promise<Extent[]> {
  const depth = node.readUInt16LE(6)
  if (node.readUInt16LE(0) !== EXTENT_MAGIC || depth > maxDepth)
    throw broken('an extent tree has no node here')
  const entries = Array.from({ length: node.readUInt16LE(2) }, (_, index) =>
    node.subarray((index + 1) * EXTENT_BYTES, (index + 2) * EXTENT_BYTES),
  )
  if (depth === 0) return entries.map(leaf)
  const extents: Extent[] = []
  for (const entry of entries) {
    const block = entry.readUInt32LE(4) + entry.readUInt16LE(8) * 2 ** 32
    if (tree.seen.has(block)) throw broken('an extent tree has a block twice')
    tree.seen.add(block)
    const { reader, blockBytes } = tree.volume
    const child = await reader.at(block * blockBytes, blockBytes)
    for (const extent of await readExtents(tree, child, depth - 1)) extents.push(extent)
  }
  return extents
}

function leaf(entry: Buffer): Extent {
  const count = entry.readUInt16LE(4)
  const written = count <= WRITTEN_BLOCKS
  return {
    logical: entry.readUInt32LE(0),
    physical: written ? entry.readUInt32LE(8) + entry.readUInt16LE(6) * 2 ** 32 : HOLE,
    count: written ? count : count - WRITTEN_BLOCKS,
  }
}

function placesOf(extents: readonly Extent[], bytes: number, blockBytes: number): Place[] {
  const places: Place[] = []
  let at = 0
  for (const { logical, physical, count } of extents) {
    const start = logical * blockBytes
    if (start < at) throw broken('extents are out of order')
    // Blocks may be allocated past the end of a file.
    if (start >= bytes) break
    if (start > at) places.push(rawPlace(HOLE, start - at))
    const length = Math.min(count * blockBytes, bytes - start)
    places.push(rawPlace(physical === HOLE ? HOLE : physical * blockBytes, length))
    at = start + length
  }
  if (at < bytes) places.push(rawPlace(HOLE, bytes - at))
  return places
}
