import type { ErofsInode, ErofsVolume } from './erofs-inodes.ts'

// Linux fs/erofs/erofs_fs.h, struct z_erofs_map_header and z_erofs_lcluster_index; fs/erofs/zmap.c for the compact form
const HEADER_BYTES = 8
const FULL_INDEX_GAP = 8
const FULL_INDEX_BYTES = 8
const ADVISE_DENSE = 0x01
const ADVISE_BIG_1 = 0x02
const ADVISE_BIG_2 = 0x04
const ADVISE_INLINE = 0x08
const ADVISE_INTERLACED = 0x10
const ADVISE_UNDERSTOOD = ADVISE_DENSE | ADVISE_BIG_1 | ADVISE_BIG_2 | ADVISE_INLINE | ADVISE_INTERLACED
const WHOLE_FILE_PACKED = 0x80
const BLOCK_COUNT_FLAG = 1 << 11
const PARTIAL = 1 << 15

export const PLAIN = 0
export const HEAD_1 = 1
const NONHEAD = 2
export const HEAD_2 = 3

/** How an inode is packed, from the header before its indexes. */
export interface MapHeader {
  readonly at: number
  /** False where a part of the file is kept in another inode, or for what came later. */
  readonly isUnderstood: boolean
  readonly clusterBits: number
  /** For heads of the first and the second type. */
  readonly algorithms: readonly [number, number]
  /** Whether indexes of two bytes are used. */
  readonly isDense: boolean
  /** Whether extents of the first and the second type may take more than one block. */
  readonly isBig: readonly [boolean, boolean]
  /** Stored bytes of the last extent when it follows the indexes; else undefined. */
  readonly inlineBytes: number | undefined
  readonly isInterlaced: boolean
}

/** One logical cluster: where in it an extent begins and which block that is stored in, or that one goes on. */
export interface Cluster {
  readonly isHead: boolean
  readonly type: number
  readonly start: number
  readonly block: number
  /** Whether only the start of what is stored there is meant, as where blocks are shared by several files. */
  readonly isPartial: boolean
  /** Of the extent, where it is said here; else 0. */
  readonly blocks: number
}

export async function readHeader({ reader, superblock }: ErofsVolume, inode: ErofsInode): Promise<MapHeader> {
  const at = Math.ceil(inode.end / HEADER_BYTES) * HEADER_BYTES
  const bytes = await reader.at(at, HEADER_BYTES)
  const advise = bytes.readUInt16LE(4)
  const algorithms = bytes.readUInt8(6)
  const clusterFlags = bytes.readUInt8(7)
  const isSet = (flag: number): boolean => (advise & flag) !== 0
  return {
    at,
    isUnderstood: (clusterFlags & WHOLE_FILE_PACKED) === 0 && (advise & ~ADVISE_UNDERSTOOD) === 0,
    clusterBits: Math.log2(superblock.blockBytes) + (clusterFlags & 7),
    algorithms: [algorithms & 15, algorithms >> 4],
    isDense: isSet(ADVISE_DENSE),
    isBig: [isSet(ADVISE_BIG_1), isSet(ADVISE_BIG_2)],
    inlineBytes: isSet(ADVISE_INLINE) ? bytes.readUInt16LE(2) : undefined,
    isInterlaced: isSet(ADVISE_INTERLACED),
  }
}

/** One index for each cluster of the file. */
export async function readIndexes(
  volume: ErofsVolume,
  inode: ErofsInode,
  header: MapHeader,
): Promise<Indexes> {
  const count = Math.ceil(inode.bytes / 2 ** header.clusterBits)
  const read = inode.layout === 'compressed-full' ? fullIndexes : compactIndexes
  return await read(volume, header, count)
}

export interface Indexes {
  readonly clusters: readonly Cluster[]
  readonly end: number
}

async function fullIndexes({ reader }: ErofsVolume, header: MapHeader, count: number): Promise<Indexes> {
  const at = header.at + HEADER_BYTES + FULL_INDEX_GAP
  const bytes = await reader.at(at, count * FULL_INDEX_BYTES)
  const clusters: Cluster[] = []
  for (let offset = 0; offset < bytes.length; offset += FULL_INDEX_BYTES) {
    const advise = bytes.readUInt16LE(offset)
    const type = advise & 3
    const distance = bytes.readUInt16LE(offset + 4)
    clusters.push({
      type,
      isHead: type !== NONHEAD,
      start: bytes.readUInt16LE(offset + 2),
      block: bytes.readUInt32LE(offset + 4),
      isPartial: (advise & PARTIAL) !== 0,
      blocks: type === NONHEAD && distance & BLOCK_COUNT_FLAG ? distance & ~BLOCK_COUNT_FLAG : 0,
    })
  }
  return { clusters, end: at + bytes.length }
}

/** A run of packs: 16 clusters in 32 bytes or 2 in 8; the last 4 bytes of each are the block its first extent counts from. */
interface PackRun {
  readonly at: number
  readonly clusters: number
  readonly perPack: 2 | 16
}

/** Two-byte packs are aligned to 32 bytes; four-byte ones fill the space before and what is left behind. */
function packRuns(header: MapHeader, count: number): PackRun[] {
  const at = header.at + HEADER_BYTES
  const before = Math.min(count, ((32 - (at % 32)) % 32) / 4)
  const dense = header.isDense ? Math.floor((count - before) / 16) * 16 : 0
  if (dense === 0) return [{ at, clusters: count, perPack: 2 }]
  return [
    { at, clusters: before, perPack: 2 },
    { at: at + before * 4, clusters: dense, perPack: 16 },
    { at: at + before * 4 + dense * 2, clusters: count - before - dense, perPack: 2 },
  ]
}

async function compactIndexes({ reader }: ErofsVolume, header: MapHeader, count: number): Promise<Indexes> {
  const clusters: Cluster[] = []
  let end = header.at + HEADER_BYTES
  for (const run of packRuns(header, count)) {
    const packBytes = run.perPack === 16 ? 32 : 8
    const packs = Math.ceil(run.clusters / run.perPack)
    const bytes = await reader.at(run.at, packs * packBytes)
    for (let pack = 0; pack < packs; pack += 1) {
      const used = Math.min(run.perPack, run.clusters - pack * run.perPack)
      const packed = bytes.subarray(pack * packBytes, (pack + 1) * packBytes)
      clusters.push(...unpack(packed, run.perPack, header).slice(0, used))
    }
    end = run.at + bytes.length
  }
  return { clusters, end }
}

function unpack(pack: Buffer, perPack: number, header: MapHeader): Cluster[] {
  const bits = ((pack.length - 4) * 8) / perPack
  const lowMask = (1 << header.clusterBits) - 1
  const base = pack.readUInt32LE(pack.length - 4)
  const [big] = header.isBig
  const clusters: Cluster[] = []
  // Without big clusters the base is the block before the first extent.
  let block = base + (big ? 0 : 1)
  for (let index = 0; index < perPack; index += 1) {
    const bit = index * bits
    const value = pack.readUInt32LE(bit >> 3) >>> (bit & 7)
    const low = value & lowMask
    const type = (value >>> header.clusterBits) & 3
    const blocks = type === NONHEAD && low & BLOCK_COUNT_FLAG ? low & ~BLOCK_COUNT_FLAG : 0
    // A count replaces the one block its head was taken for; a head in an earlier pack was not counted here.
    if (type === NONHEAD && blocks > 0) block += clusters.at(-1) === undefined ? blocks : blocks - 1
    clusters.push({ type, isHead: type !== NONHEAD, start: low, block, isPartial: false, blocks })
    if (type !== NONHEAD) block += 1
  }
  return clusters
}
