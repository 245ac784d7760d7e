import type { ExpandSource } from './image.ts'
import { type Place, rawPlace } from './layout.ts'
import { broken, readUInt64 } from './reader.ts'
import type { SquashfsPacking } from './squashfs-packing.ts'

// Linux fs/squashfs/squashfs_fs.h: metadata is packed in blocks of 8 KiB with a header of two bytes.
const METADATA_BYTES = 8192
const HEADER_BYTES = 2
const STORED_AS_IS = 0x8000

export interface PackedSource extends ExpandSource {
  readonly packing: SquashfsPacking
}

/** A table of the file system, unpacked. */
export interface MetadataTable {
  readonly content: Buffer
  readonly places: readonly Place[]
  /** Where the content of a block begins, by its position counted from the start of the table. */
  starts(block: number): number
}

/** Reads the metadata blocks between two positions, and reports them. */
export async function readTable(source: PackedSource, start: number, end: number): Promise<MetadataTable> {
  const stored = await source.reader.at(start, end - start)
  const starts = new Map<number, number>()
  const contents: Buffer[] = []
  const places: Place[] = []
  let length = 0
  for (let at = 0; at < stored.length; ) {
    const header = stored.readUInt16LE(at)
    const bytes = header & ~STORED_AS_IS
    const block = stored.subarray(at + HEADER_BYTES, at + HEADER_BYTES + bytes)
    if (block.length < bytes) throw broken(`a metadata block at ${start + at} is cut`)
    const offset = start + at + HEADER_BYTES
    const content = (header & STORED_AS_IS) === 0 ? unpack(source, block, offset) : block
    places.push(
      (header & STORED_AS_IS) === 0 ? { offset, skip: 0, bytes: content.length } : rawPlace(offset, bytes),
    )
    starts.set(at, length)
    contents.push(content)
    length += content.length
    at += HEADER_BYTES + bytes
  }
  return {
    content: Buffer.concat(contents),
    places,
    starts(block) {
      const position = starts.get(block)
      if (position === undefined) throw broken(`no metadata block begins at ${start}+${block}`)
      return position
    },
  }
}

function unpack({ codecs, layout, packing }: PackedSource, block: Buffer, offset: number): Buffer {
  const encoding = packing.metadata
  const into = Buffer.allocUnsafeSlow(METADATA_BYTES)
  const content = into.subarray(
    0,
    decodeOrRefuse(() => codecs.decodeUpTo(encoding.codec, block, into), offset),
  )
  layout.encoded({ offset, stored: block.length, content: content.length, encoding })
  return content
}

function decodeOrRefuse(decode: () => number, offset: number): number {
  try {
    return decode()
  } catch (cause) {
    throw broken(`the metadata block at ${offset} does not unpack: ${String(cause)}`)
  }
}

/** A table that is found through a list of the positions of its blocks, which stands behind it. */
export interface IndexedTable {
  readonly start: number
  readonly end: number
}

/** Finds such a table of `bytes` by where its list is; undefined when it is empty. */
export async function findIndexedTable(
  source: ExpandSource,
  list: number,
  bytes: number,
): Promise<IndexedTable | undefined> {
  if (bytes === 0) return undefined
  return { start: readUInt64(await source.reader.at(list, 8), 0), end: list }
}
