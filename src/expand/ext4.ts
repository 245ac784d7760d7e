import { readDirectory } from './ext4-directories.ts'
import { inodePlaces } from './ext4-inodes.ts'
import { readState } from './ext4-states.ts'
import { type Ext4Volume, readExt4Volume } from './ext4-superblock.ts'
import type { ExpandSource } from './image.ts'
import { HOLE, type Layout, type Place, rawPlace } from './layout.ts'
import { findFiles, type ListedEntry, listEntries } from './walk.ts'

export { isExt4 } from './ext4-superblock.ts'

/** Reports the files and tables of an ext4 image; nothing in it is packed. */
export async function expandExt4({ reader, layout }: ExpandSource, head: Buffer): Promise<void> {
  const volume = await readExt4Volume(reader, head)
  const directories: Place[] = []
  const files = await findFiles(volume.rootInode, async (inode) => {
    const { entries, places } = await readDirectory(volume, inode)
    directories.push(...places.filter(({ offset }) => offset !== HOLE))
    return entries
  })
  for (const { path, inode } of files) {
    const places = await inodePlaces(volume, inode)
    if (places !== undefined) layout.file(path, places)
  }
  layout.table('directories', directories)
  reportTables(volume, layout)
}

/** What each name in an ext4 image stands for. */
export async function listExt4({ reader }: ExpandSource, head: Buffer): Promise<ListedEntry[]> {
  const volume = await readExt4Volume(reader, head)
  return await listEntries(
    volume.rootInode,
    async (inode) => (await readDirectory(volume, inode)).entries,
    (inode) => readState(volume, inode),
  )
}

function reportTables({ groups, inodeBytes, blockBytes, descriptors }: Ext4Volume, layout: Layout): void {
  layout.table(
    'inodes',
    groups.map(({ inodeTable, inodes }) => rawPlace(inodeTable, inodes * inodeBytes)),
  )
  layout.table(
    'bitmaps',
    groups.flatMap(({ blockBitmap, inodeBitmap }) => [
      rawPlace(blockBitmap, blockBytes),
      rawPlace(inodeBitmap, blockBytes),
    ]),
  )
  layout.table('groups', [rawPlace(descriptors.at, descriptors.bytes)])
}
