import type { Encoding } from '../core/encoding.ts'
import type { SquashfsSuperblock } from './squashfs-superblock.ts'

// What mksquashfs uses where its options are not in the image.
const GZIP_LEVEL = 9
const GZIP_WINDOW_BITS = 15
const ZSTD_LEVEL = 15
const XZ_PRESET = 6
const XZ_CHECK_CRC32 = 1
const XZ_METADATA_DICT_BYTES = 8192
const LZ4HC_LEVEL = 12
const LZ4_FLAG_HC = 1

export interface SquashfsPacking {
  readonly data: Encoding
  readonly metadata: Encoding
  /** Whether each data block may have a filter of its own before it. */
  readonly filters: boolean
}

/** `options` is the content of the options block, empty where there is none. */
export function squashfsPacking(
  superblock: SquashfsSuperblock,
  options: Buffer,
): SquashfsPacking | undefined {
  const data = dataEncoding(superblock, options)
  if (data === undefined) return undefined
  if (data.codec !== 'xz') return { data, metadata: data, filters: false }
  return {
    data,
    metadata: xzEncoding(XZ_METADATA_DICT_BYTES),
    filters: options.length >= 8 && options.readInt32LE(4) !== 0,
  }
}

function xzEncoding(dictBytes: number): Encoding {
  return { codec: 'xz', params: [XZ_PRESET, dictBytes, XZ_CHECK_CRC32, 0] }
}

/** What mksquashfs packs blocks of files with. */
function dataEncoding(superblock: SquashfsSuperblock, options: Buffer): Encoding | undefined {
  const option = (offset: number, absent: number): number =>
    options.length >= offset + 4 ? options.readInt32LE(offset) : absent
  switch (superblock.compression) {
    case 'gzip': {
      const windowBits = options.length >= 6 ? options.readUInt16LE(4) : GZIP_WINDOW_BITS
      return { codec: 'zlib', params: [option(0, GZIP_LEVEL), windowBits, 0] }
    }
    case 'zstd':
      return { codec: 'zstd', params: [option(0, ZSTD_LEVEL), 0] }
    case 'xz':
      return xzEncoding(option(0, superblock.blockBytes))
    case 'lz4': {
      const hc = (option(4, 0) & LZ4_FLAG_HC) !== 0
      return hc ? { codec: 'lz4hc', params: [LZ4HC_LEVEL] } : { codec: 'lz4', params: [] }
    }
    case 'none':
    case 'lzma':
    case 'lzo':
      return undefined
  }
}
