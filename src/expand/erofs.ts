import type { Encoding } from '../core/encoding.ts'
import { readDirectory } from './erofs-directories.ts'
import { type Extent, type PackedMap, readPackedMap } from './erofs-extents.ts'
import { type ErofsInode, type ErofsVolume, flatPlaces, isPacked, readInode } from './erofs-inodes.ts'
import { findLevel } from './erofs-level.ts'
import { readState } from './erofs-states.ts'
import { parseErofsSuperblock } from './erofs-superblock.ts'
import type { ExpandSource } from './image.ts'
import { type Layout, type Place, rawPlace } from './layout.ts'
import { findFiles, type ListedEntry, listEntries } from './walk.ts'

export { isErofs } from './erofs-superblock.ts'

/** A file and, where it is packed in a way that is known, its extents. */
interface MappedFile {
  readonly path: string
  readonly inode: ErofsInode
  readonly map: PackedMap | undefined
}

/** Reports the clusters, files and tables of an erofs image. */
export async function expandErofs({ reader, layout, codecs }: ExpandSource, head: Buffer): Promise<void> {
  const volume = { reader, superblock: parseErofsSuperblock(head) }
  const directories: Place[] = []
  const nids = new Set<number>()
  const found = await findFiles(volume.superblock.rootNid, async (nid) => {
    const { entries, places } = await readDirectory(volume, nid)
    directories.push(...places)
    for (const { inode } of entries) nids.add(inode)
    return entries
  })
  const files: MappedFile[] = []
  for (const { path, inode } of found) files.push(await mapFile(volume, path, inode))
  const level = await findLevel(
    { reader, codecs, encodingOf: (extent, level) => encodingOf(volume, extent, level) },
    files.map(({ map }) => map?.extents ?? []),
  )
  const claim = (extent: Extent): Encoding => encodingOf(volume, extent, level)
  for (const file of files) await reportFile({ volume, layout, claim }, file)
  layout.table('directories', directories)
  layout.table('inodes', await inodePlaces(volume, nids))
  layout.table('indexes', files.flatMap(indexPlaces))
}

/** What each name in an erofs image stands for. */
export async function listErofs({ reader }: ExpandSource, head: Buffer): Promise<ListedEntry[]> {
  const volume = { reader, superblock: parseErofsSuperblock(head) }
  return await listEntries(
    volume.superblock.rootNid,
    async (nid) => (await readDirectory(volume, nid)).entries,
    (nid) => readState(volume, nid),
  )
}

/** The inodes in the order of the image. */
async function inodePlaces(volume: ErofsVolume, nids: ReadonlySet<number>): Promise<Place[]> {
  const places: Place[] = []
  for (const nid of [...nids].sort((a, b) => a - b)) {
    const { at, end } = await readInode(volume, nid)
    places.push(rawPlace(at, end - at))
  }
  return places
}

function indexPlaces({ inode, map }: MappedFile): Place[] {
  return map === undefined ? [] : [rawPlace(inode.end, map.end - inode.end)]
}

async function mapFile(volume: ErofsVolume, path: string, nid: number): Promise<MappedFile> {
  const inode = await readInode(volume, nid)
  return { path, inode, map: isPacked(inode) ? await readPackedMap(volume, inode) : undefined }
}

interface Report {
  readonly volume: ErofsVolume
  readonly layout: Layout
  claim(extent: Extent): Encoding
}

/** A file of which a part is packed in a way that is not known is left out. */
async function reportFile(report: Report, { path, inode, map }: MappedFile): Promise<void> {
  const places = isPacked(inode) ? packedPlaces(report, map) : await flatPlaces(report.volume, inode)
  if (places !== undefined) report.layout.file(path, places)
}

function packedPlaces(report: Report, map: PackedMap | undefined): Place[] | undefined {
  const places = map?.extents.map((extent) => extentPlaces(report, extent))
  return places?.some((found) => found === undefined) ? undefined : places?.flatMap((found) => found ?? [])
}

function extentPlaces({ volume, layout, claim }: Report, extent: Extent): Place[] | undefined {
  const { offset, stored, bytes } = extent
  switch (extent.packing) {
    case 'raw':
      return [rawPlace(offset, bytes)]
    case 'interlaced': {
      // Each byte keeps the position in a block that it has in the file.
      const start = extent.at % volume.superblock.blockBytes
      const right = Math.min(stored - start, bytes)
      return [rawPlace(offset + start, right), rawPlace(offset, bytes - right)]
    }
    case 'lz4':
      layout.encoded({ offset, stored, content: bytes, encoding: claim(extent) })
      return [{ offset, skip: 0, bytes }]
    case 'unknown':
      return undefined
  }
}

function encodingOf({ superblock }: ErofsVolume, { isInline, stored }: Extent, level: number): Encoding {
  if (isInline) return { codec: 'lz4hc', params: [level] }
  return { codec: 'lz4hc-fill', params: [level, stored, superblock.padsBefore ? 0 : 1] }
}
