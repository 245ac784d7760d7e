import {
  type Cluster,
  HEAD_1,
  HEAD_2,
  type Indexes,
  type MapHeader,
  PLAIN,
  readHeader,
  readIndexes,
} from './erofs-indexes.ts'
import type { ErofsInode, ErofsVolume } from './erofs-inodes.ts'
import { broken } from './reader.ts'

// Linux fs/erofs/erofs_fs.h, Z_EROFS_COMPRESSION_LZ4
const ALGORITHM_LZ4 = 0

/** Consecutive bytes of a file that are stored as one; interlaced are raw bytes turned around within their block. */
export interface Extent {
  readonly at: number
  readonly bytes: number
  readonly packing: 'raw' | 'interlaced' | 'lz4' | 'unknown'
  readonly offset: number
  readonly stored: number
  /** Stored behind the inode, in exactly its bytes. */
  readonly isInline: boolean
}

export interface PackedMap {
  readonly extents: readonly Extent[]
  /** Where the indexes of the inode end. */
  readonly end: number
}

/** The extents of a compressed inode; undefined where it is packed in a way that is not known. */
export async function readPackedMap(volume: ErofsVolume, inode: ErofsInode): Promise<PackedMap | undefined> {
  const header = await readHeader(volume, inode)
  if (!header.isUnderstood) return undefined
  const indexes = await readIndexes(volume, inode, header)
  return { extents: extentsOf(indexes, { volume, inode, header }), end: indexes.end }
}

interface Mapping {
  readonly volume: ErofsVolume
  readonly inode: ErofsInode
  readonly header: MapHeader
}

function extentsOf({ clusters, end }: Indexes, mapping: Mapping): Extent[] {
  const { inode, header } = mapping
  const heads = clusters.flatMap((cluster, index) => {
    const at = index * 2 ** header.clusterBits + cluster.start
    return cluster.isHead && at < inode.bytes ? [{ cluster, at, next: clusters[index + 1] }] : []
  })
  if (inode.bytes > 0 && heads[0]?.at !== 0) throw broken(`the inode at ${inode.at} starts in the middle`)
  return heads.map(({ cluster, at, next }, index) => {
    const following = heads[index + 1]
    const bytes = (following?.at ?? inode.bytes) - at
    if (bytes <= 0) throw broken(`the inode at ${inode.at} has extents out of order`)
    const isInline = following === undefined && header.inlineBytes !== undefined
    const place = isInline
      ? { offset: end, stored: header.inlineBytes ?? 0 }
      : storedRun(cluster, next, mapping)
    return { at, bytes, packing: packingOf(cluster, header), isInline, ...place }
  })
}

function storedRun(
  head: Cluster,
  next: Cluster | undefined,
  { volume, header }: Mapping,
): Pick<Extent, 'offset' | 'stored'> {
  const { blockBytes } = volume.superblock
  const isBig = header.isBig[head.type === HEAD_2 ? 1 : 0]
  // The cluster after the head says how many blocks; an extent that ends before it takes one.
  const counted = isBig && next?.isHead === false && next.blocks > 0
  return {
    offset: head.block * blockBytes,
    stored: counted ? next.blocks * blockBytes : 2 ** header.clusterBits,
  }
}

function packingOf({ type, isPartial }: Cluster, { isInterlaced, algorithms }: MapHeader): Extent['packing'] {
  if (type === PLAIN) return isInterlaced ? 'interlaced' : 'raw'
  return !isPartial && algorithms[type === HEAD_1 ? 0 : 1] === ALGORITHM_LZ4 ? 'lz4' : 'unknown'
}
