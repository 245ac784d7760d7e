import type { BlockCodecs } from '../core/encoding.ts'
import type { Block, Run } from '../delta/program.ts'
import type { ImageFile, Piece } from '../expand/image.ts'
import { findNested } from '../expand/nested.ts'
import { addressBase } from './base-space.ts'
import type { Content } from './content.ts'
import { mapFiles } from './files.ts'
import { insideOrder, partsOf } from './inside.ts'
import { type NestedContents, nestedContents } from './nested-contents.ts'
import { findFiles } from './partners.ts'
import { slicePieces } from './pieces.ts'

/** The image that hosts have, as somewhere to copy from. */
export interface Base {
  readonly content: Content
  /** A file with exactly these bytes. */
  findSame(content: Buffer): Promise<readonly Piece[] | undefined>
  /** The file that the new file at `path` most likely was, or undefined. */
  findPartner(path: string, bytes: number): ImageFile | undefined
  /** Where a file's content is once its nested payloads are decoded. */
  expandFile(file: ImageFile): Promise<readonly Piece[]>
  readPieces(pieces: readonly Piece[]): Promise<Buffer>
  /** A place of `Item` as addresses of the base space; names the blocks it needs. */
  locate(at: number, bytes: number): Run[]
  blocks(): readonly Block[]
}

export function openBase(content: Content, imageBytes: number, codecs: BlockCodecs): Base {
  const { image } = content
  const files = [...new Set([...mapFiles(image, content.bytes).map(({ file }) => file), ...image.files])]
  const nested = nestedContents(content.bytes)
  const expanded = new Map<ImageFile, Promise<readonly Piece[]>>()

  function expandFile(file: ImageFile): Promise<readonly Piece[]> {
    const pieces = expanded.get(file) ?? expandPieces(file, { content, nested, codecs })
    expanded.set(file, pieces)
    return pieces
  }

  async function readPieces(pieces: readonly Piece[]): Promise<Buffer> {
    const parts: Buffer[] = []
    for (const piece of pieces) {
      if (piece.at < content.bytes) parts.push(await content.readPieces([piece]))
      else parts.push(nested.read(piece))
    }
    return parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts)
  }

  return {
    content,
    ...findFiles(files, content),
    expandFile,
    readPieces,
    ...addressBase(content, { nested, imageBytes }),
  }
}

/** The host decodes a whole block to read a byte of it. */
const MAX_NESTED_BYTES = 16 * 1024 * 1024

async function expandPieces(
  file: ImageFile,
  { content, nested, codecs }: { content: Content; nested: NestedContents; codecs: BlockCodecs },
): Promise<readonly Piece[]> {
  if (file.path.startsWith('#')) return file.pieces
  const bytes = await content.readPieces(file.pieces)
  const found = await findNested(file.path, bytes, codecs, { prove: false })
  const usable = found.filter(({ at, stored, content: inside }) => {
    if (inside.length > MAX_NESTED_BYTES || stored > MAX_NESTED_BYTES) return false
    return slicePieces(file.pieces, at, stored).every((piece) => piece.at >= 0)
  })
  return insideOrder(partsOf(file.bytes, usable)).flatMap(({ at, stored, payload }) => {
    const source = slicePieces(file.pieces, at, stored)
    if (payload === undefined) return source
    return [nested.add({ codec: payload.encoding.codec, stored: source, content: payload.content })]
  })
}
