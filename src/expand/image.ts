import type { BlockCodecs, Encoding } from '../core/encoding.ts'
import type { Region } from '../core/region.ts'
import { expandErofs, isErofs } from './erofs.ts'
import { expandExt4, isExt4 } from './ext4.ts'
import { createLayout, type Layout } from './layout.ts'
import { type ImageReader, imageReader } from './reader.ts'
import { expandSquashfs, isSquashfs } from './squashfs.ts'

/**
 * A stored run of an image and the length of its content. Without `encoding` the stored bytes are the content; with one
 * it is what the file system claims, and proved only when encoding the content gave the stored bytes.
 * Units follow each other from the first byte of the image to the last.
 */
export interface Unit {
  readonly offset: number
  readonly stored: number
  readonly content: number
  readonly encoding?: Encoding
}

/** Bytes `at` a position in the contents of all units one after another; -1 is a hole, that many zeros. */
export interface Piece {
  readonly at: number
  readonly bytes: number
}

/**
 * A regular file by its path without leading slash, of hard links the first; or, with `#` before its name, a table of the
 * file system. Two files may share pieces.
 */
export interface ImageFile {
  readonly path: string
  readonly bytes: number
  readonly pieces: readonly Piece[]
}

export interface ExpandedImage {
  readonly fs: 'squashfs' | 'erofs' | 'ext4' | 'raw'
  readonly units: readonly Unit[]
  readonly files: readonly ImageFile[]
}

export interface ExpandSource {
  readonly reader: ImageReader
  readonly codecs: BlockCodecs
  readonly layout: Layout
}

const HEAD_BYTES = 4096

/**
 * Finds what is packed in an image and which files it holds, from its tables alone; data is not decoded. What it does not
 * understand stays as stored: at worst, for a broken or unknown file system, the image is one unit without files.
 */
export async function expandImage(image: Region, codecs: BlockCodecs): Promise<ExpandedImage> {
  const source = { reader: imageReader(image), codecs, layout: createLayout(image.bytes) }
  try {
    const fs = await expandFileSystem(source)
    return source.layout.finish(fs)
  } catch (error) {
    if (error instanceof RangeError) return createLayout(image.bytes).finish('raw')
    throw error
  }
}

async function expandFileSystem(source: ExpandSource): Promise<ExpandedImage['fs']> {
  const head = await readHead(source)
  if (isSquashfs(head)) {
    await expandSquashfs(source, head)
    return 'squashfs'
  }
  if (isErofs(head)) {
    await expandErofs(source, head)
    return 'erofs'
  }
  if (isExt4(head)) {
    await expandExt4(source, head)
    return 'ext4'
  }
  return 'raw'
}

/** What says which file system it is; of a shorter image, zeros follow. */
export async function readHead({ reader }: Pick<ExpandSource, 'reader'>): Promise<Buffer> {
  const head = Buffer.alloc(HEAD_BYTES)
  ;(await reader.at(0, Math.min(HEAD_BYTES, reader.bytes))).copy(head)
  return head
}
