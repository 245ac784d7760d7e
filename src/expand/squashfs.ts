import type { ExpandSource } from './image.ts'
import { readUInt64 } from './reader.ts'
import { readDirectory } from './squashfs-directories.ts'
import { filePlaces } from './squashfs-files.ts'
import { readFileInode, readState } from './squashfs-inodes.ts'
import { squashfsPacking } from './squashfs-packing.ts'
import {
  NO_TABLE,
  parseSquashfsSuperblock,
  type SquashfsSuperblock,
  SUPERBLOCK_BYTES,
} from './squashfs-superblock.ts'
import {
  findIndexedTable,
  type IndexedTable,
  type MetadataTable,
  type PackedSource,
  readTable,
} from './squashfs-tables.ts'
import { findFiles, type ListedEntry, listEntries } from './walk.ts'

export { isSquashfs } from './squashfs-superblock.ts'

const FRAGMENT_BYTES = 16
const INODE_REFERENCE_BYTES = 8
const ID_BYTES = 4

/** Reports the blocks, files and tables of a squashfs image. */
export async function expandSquashfs(source: ExpandSource, head: Buffer): Promise<void> {
  const opened = await openSquashfs(source, head)
  if (opened === undefined) return
  const { superblock, packed, tables } = opened
  const data = { ...packed, blockBytes: superblock.blockBytes, fragments: tables.fragments.content }
  for (const { path, inode } of await findFiles(superblock.rootInode, async (dir) =>
    readDirectory(tables, dir),
  )) {
    source.layout.file(path, await filePlaces(data, readFileInode(tables.inodes, inode, data.blockBytes)))
  }
  for (const [name, { places }] of Object.entries(tables)) source.layout.table(name, places)
}

/** What each name in a squashfs image stands for; nothing where its tables cannot be unpacked. */
export async function listSquashfs(source: ExpandSource, head: Buffer): Promise<ListedEntry[] | undefined> {
  const opened = await openSquashfs(source, head)
  if (opened === undefined) return undefined
  const { superblock, tables } = opened
  return await listEntries(
    superblock.rootInode,
    async (dir) => readDirectory(tables, dir),
    (inode) => readState(tables, inode),
  )
}

interface OpenedSquashfs {
  readonly superblock: SquashfsSuperblock
  readonly packed: PackedSource
  readonly tables: Readonly<Record<TableName, MetadataTable>>
}

/** Nothing for the other compressions: blocks stay as they are, and with them the tables that would say where they are. */
async function openSquashfs(source: ExpandSource, head: Buffer): Promise<OpenedSquashfs | undefined> {
  const superblock = parseSquashfsSuperblock(head)
  const packing = squashfsPacking(superblock, await readOptions(source, superblock))
  if (packing === undefined) return undefined
  const packed = { ...source, packing }
  const ranges = await tableRanges(source, superblock)
  const read = async (range: IndexedTable | undefined): Promise<MetadataTable> =>
    readTable(packed, range?.start ?? 0, range?.end ?? 0)
  const tables = {
    inodes: await read(ranges.inodes),
    directories: await read(ranges.directories),
    fragments: await read(ranges.fragments),
    export: await read(ranges.export),
    ids: await read(ranges.ids),
    xattrs: await read(ranges.xattrs),
    xattrIds: await read(ranges.xattrIds),
  }
  return { superblock, packed, tables }
}

async function readOptions({ reader }: ExpandSource, { hasOptions }: SquashfsSuperblock): Promise<Buffer> {
  if (!hasOptions) return Buffer.alloc(0)
  const header = await reader.at(SUPERBLOCK_BYTES, 2)
  return reader.at(SUPERBLOCK_BYTES + 2, header.readUInt16LE(0) & 0x7fff)
}

type TableName = 'inodes' | 'directories' | 'fragments' | 'export' | 'ids' | 'xattrs' | 'xattrIds'
type Ranges = Partial<Record<TableName, IndexedTable>>

/** Where each table begins and ends. Those of inodes and directories end where the next thing begins. */
async function tableRanges(source: ExpandSource, superblock: SquashfsSuperblock): Promise<Ranges> {
  const { tables, usedBytes } = superblock
  const indexed: Ranges = {
    ...(await indexedRange(source, 'fragments', [tables.fragments, superblock.fragments * FRAGMENT_BYTES])),
    ...(await indexedRange(source, 'export', [tables.export, superblock.inodes * INODE_REFERENCE_BYTES])),
    ...(await indexedRange(source, 'ids', [tables.ids, superblock.ids * ID_BYTES])),
    ...(await xattrRanges(source, tables.xattrs)),
  }
  const starts = [...Object.values(tables), ...Object.values(indexed).map(({ start }) => start), usedBytes]
  const endOf = (start: number): number => Math.min(...starts.filter((other) => other > start))
  return {
    ...indexed,
    inodes: { start: tables.inodes, end: endOf(tables.inodes) },
    directories: { start: tables.directories, end: endOf(tables.directories) },
  }
}

async function indexedRange(
  source: ExpandSource,
  name: TableName,
  [list, bytes]: [list: number, bytes: number],
): Promise<Ranges> {
  const range = list === NO_TABLE ? undefined : await findIndexedTable(source, list, bytes)
  return range === undefined ? {} : { [name]: range }
}

// fs/squashfs/squashfs_fs.h, struct squashfs_xattr_id_table: before the list stands where the attributes begin.
const XATTR_LIST_OFFSET = 16

async function xattrRanges(source: ExpandSource, table: number): Promise<Ranges> {
  if (table === NO_TABLE) return {}
  const head = await source.reader.at(table, XATTR_LIST_OFFSET)
  if (head.readUInt32LE(8) === 0) return {}
  const ids = readUInt64(await source.reader.at(table + XATTR_LIST_OFFSET, 8), 0)
  return { xattrs: { start: readUInt64(head, 0), end: ids }, xattrIds: { start: ids, end: table } }
}
