import type { BlockCodecs } from '../core/encoding.ts'
import type { FileState } from '../core/file-state.ts'
import type { Region } from '../core/region.ts'
import { isErofs, listErofs } from './erofs.ts'
import { isExt4, listExt4 } from './ext4.ts'
import { type ExpandSource, readHead } from './image.ts'
import { createLayout } from './layout.ts'
import { imageReader } from './reader.ts'
import { isSquashfs, listSquashfs } from './squashfs.ts'
import type { ListedEntry } from './walk.ts'

/** A name in an image. */
export interface TreeEntry {
  /** Without leading slash; as `nameOf` gives it. */
  readonly path: string
  readonly state: FileState
  /** Of a file: the path that `ImageFile` has its content under. */
  readonly contentPath: string
}

/**
 * Every name in an image but that of its root, from its tables alone; nothing for an image of no file system, or a broken
 * one. Extended attributes and times are not read.
 */
export async function listTree(image: Region, codecs: BlockCodecs): Promise<TreeEntry[] | undefined> {
  const source = { reader: imageReader(image), codecs, layout: createLayout(image.bytes) }
  try {
    const entries = await listFileSystem(source)
    return entries && named(entries)
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}

async function listFileSystem(source: ExpandSource): Promise<ListedEntry[] | undefined> {
  const head = await readHead(source)
  if (isSquashfs(head)) return await listSquashfs(source, head)
  if (isErofs(head)) return await listErofs(source, head)
  return isExt4(head) ? await listExt4(source, head) : undefined
}

function named(entries: readonly ListedEntry[]): TreeEntry[] {
  const first = new Map<number, string>()
  return entries.map(({ path, inode, kind, state }) => {
    if (kind === 'file' && !first.has(inode)) first.set(inode, path)
    return { path: path.replace(/^\.\//, ''), state, contentPath: first.get(inode) ?? path }
  })
}
