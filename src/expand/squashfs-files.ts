import { HOLE, type Place, rawPlace } from './layout.ts'
import { broken, readUInt64 } from './reader.ts'
import type { FileInode } from './squashfs-inodes.ts'
import type { PackedSource } from './squashfs-tables.ts'
import { withFilter, XZ_HEAD_BYTES } from './squashfs-xz.ts'

// Linux fs/squashfs/squashfs_fs.h: bit 24 of the stored size of a data or fragment block
const STORED_AS_IS = 1 << 24
const FRAGMENT_ENTRY_BYTES = 16

export interface DataSource extends PackedSource {
  readonly blockBytes: number
  /** Content of the fragment table. */
  readonly fragments: Buffer
}

/** Where the content of a file is; reports its blocks. */
export async function filePlaces(source: DataSource, inode: FileInode): Promise<Place[]> {
  const places: Place[] = []
  let offset = inode.start
  let left = inode.bytes
  for (const size of inode.blocks) {
    const bytes = Math.min(left, source.blockBytes)
    places.push(
      size === 0 ? rawPlace(HOLE, bytes) : await dataPlace(source, { offset, size }, { skip: 0, bytes }),
    )
    offset += size & ~STORED_AS_IS
    left -= bytes
  }
  if (inode.fragment !== undefined && left > 0) {
    const tail = { skip: inode.fragment.offset, bytes: left }
    places.push(await dataPlace(source, fragmentBlock(source.fragments, inode.fragment.index), tail))
  }
  return places
}

interface StoredBlock {
  readonly offset: number
  readonly size: number
}

function fragmentBlock(table: Buffer, index: number): StoredBlock {
  const entry = table.subarray(index * FRAGMENT_ENTRY_BYTES)
  if (entry.length < FRAGMENT_ENTRY_BYTES) throw broken(`there is no fragment ${index}`)
  return { offset: readUInt64(entry, 0), size: entry.readUInt32LE(8) }
}

/** Bytes of a block, all of them or the tail of a file: the longest of a fragment block's tails says how long it is. */
async function dataPlace(
  source: DataSource,
  { offset, size }: StoredBlock,
  { skip, bytes }: Pick<Place, 'skip' | 'bytes'>,
): Promise<Place> {
  if ((size & STORED_AS_IS) !== 0) return rawPlace(offset + skip, bytes)
  const { data, filters } = source.packing
  const encoding = filters
    ? withFilter(data, await source.reader.at(offset, Math.min(size, XZ_HEAD_BYTES)))
    : data
  source.layout.encoded({ offset, stored: size, content: skip + bytes, encoding })
  return { offset, skip, bytes }
}
