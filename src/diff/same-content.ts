import { PineError } from '../core/error.ts'
import type { ImageFile, Piece } from '../expand/image.ts'
import type { Content } from './content.ts'
import { indexPieces } from './pieces.ts'

/** A file of one of the images. */
export interface FileIn {
  readonly content: Content
  readonly file: ImageFile
}

const WINDOW_BYTES = 1024 * 1024

/**
 * Whether two files have the same bytes. Blocks that are stored alike are not unpacked; a block that cannot be unpacked is
 * like no other.
 */
export async function haveSameContent(one: FileIn, other: FileIn): Promise<boolean> {
  if (one.file.bytes !== other.file.bytes) return false
  const [parts, others] = [partsOf(one), partsOf(other)]
  const areAligned =
    parts.length === others.length && parts.every(({ bytes }, index) => bytes === others[index]?.bytes)
  if (!areAligned) return await sameInWindows(one, other)
  for (const [index, part] of parts.entries()) {
    const beside = others[index]
    if (beside === undefined || !(await samePart(one, part, { ...other, part: beside }))) return false
  }
  return true
}

/** A run of a file in one unit of its image. */
interface Part extends Piece {
  /** The unit, where the part is all of its content and that is packed. */
  readonly packed: number | undefined
}

/** Cut where units end, and holes and raw content to pieces that may be read at once. */
function partsOf({ content, file }: FileIn): Part[] {
  const parts: Part[] = []
  for (const piece of file.pieces) {
    for (let done = 0; done < piece.bytes; ) {
      const at = piece.at < 0 ? piece.at : piece.at + done
      const part = partAt(content, at, piece.bytes - done)
      parts.push(part)
      done += part.bytes
    }
  }
  return parts
}

function partAt(content: Content, at: number, left: number): Part {
  if (at < 0) return { at, bytes: Math.min(left, WINDOW_BYTES), packed: undefined }
  const index = content.unitAt(at)
  const start = content.startOf(index)
  const unit = content.image.units[index]
  if (unit?.encoding === undefined) return { at, bytes: Math.min(left, WINDOW_BYTES), packed: undefined }
  const bytes = Math.min(left, unit.content - (at - start))
  return { at, bytes, packed: bytes === unit.content ? index : undefined }
}

async function samePart(one: FileIn, part: Part, other: FileIn & { part: Part }): Promise<boolean> {
  if (part.packed !== undefined && other.part.packed !== undefined) {
    const [unit, beside] = [
      one.content.image.units[part.packed],
      other.content.image.units[other.part.packed],
    ]
    if (unit && beside && unit.stored === beside.stored && unit.encoding?.codec === beside.encoding?.codec) {
      const stored = await one.content.readStored(unit)
      if (stored.equals(await other.content.readStored(beside))) return true
    }
  }
  return await sameBytes([one.content, [part]], [other.content, [other.part]])
}

async function sameInWindows(one: FileIn, other: FileIn): Promise<boolean> {
  const [slice, beside] = [indexPieces(one.file.pieces), indexPieces(other.file.pieces)]
  for (let at = 0; at < one.file.bytes; at += WINDOW_BYTES) {
    const bytes = Math.min(WINDOW_BYTES, one.file.bytes - at)
    if (!(await sameBytes([one.content, slice(at, bytes)], [other.content, beside(at, bytes)]))) return false
  }
  return true
}

type Where = readonly [Content, readonly Piece[]]

async function sameBytes(one: Where, other: Where): Promise<boolean> {
  const [bytes, beside] = [await readSound(one), await readSound(other)]
  return bytes !== undefined && beside !== undefined && bytes.equals(beside)
}

/** Nothing where a block does not unpack. */
export async function readSound([content, pieces]: Where): Promise<Buffer | undefined> {
  try {
    return await content.readPieces(pieces)
  } catch (error) {
    if (error instanceof PineError) throw error
    return undefined
  }
}
