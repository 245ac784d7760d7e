import type { BlockCodecs } from '../core/encoding.ts'
import type { Region } from '../core/region.ts'
import { lastStart } from '../core/search.ts'
import type { ExpandedImage, Piece, Unit } from '../expand/image.ts'

/** An image by its content: the contents of all units, one after another. */
export interface Content {
  readonly image: ExpandedImage
  readonly bytes: number
  /** The unit that holds the byte at `at`. */
  unitAt(at: number): number
  /** Where a unit's content starts. */
  startOf(unit: number): number
  read(at: number, bytes: number): Promise<Buffer>
  readPieces(pieces: readonly Piece[]): Promise<Buffer>
  /** The stored bytes of a unit. */
  readStored(unit: Unit): Promise<Buffer>
}

const KEPT_BLOCKS = 64

export function openContent(region: Region, image: ExpandedImage, codecs: BlockCodecs): Content {
  const { units } = image
  const starts = new Float64Array(units.length + 1)
  for (const [index, unit] of units.entries()) starts[index + 1] = (starts[index] ?? 0) + unit.content
  const bytes = starts[units.length] ?? 0
  const kept = new Map<number, Promise<Buffer>>()

  const startOf = (unit: number): number => starts[unit] ?? 0

  const unitAt = (at: number): number => lastStart(units.length, at, startOf)

  async function readStored({ offset, stored }: Unit): Promise<Buffer> {
    const buffer = Buffer.allocUnsafeSlow(stored)
    await region.read(buffer, offset)
    return buffer
  }

  function decoded(index: number, unit: Unit & { encoding: NonNullable<Unit['encoding']> }): Promise<Buffer> {
    const found = kept.get(index)
    if (found !== undefined) return found
    const content = readStored(unit).then((stored) => {
      const into = Buffer.allocUnsafeSlow(unit.content)
      codecs.decode(unit.encoding.codec, stored, into)
      return into
    })
    kept.set(index, content)
    const [oldest] = kept.keys()
    if (kept.size > KEPT_BLOCKS && oldest !== undefined) kept.delete(oldest)
    return content
  }

  async function readInto(into: Buffer, at: number): Promise<void> {
    for (let done = 0; done < into.length; ) {
      const index = unitAt(at + done)
      const unit = units[index]
      if (unit === undefined) throw new RangeError(`there is no content at ${at + done}`)
      const within = at + done - startOf(index)
      const piece = into.subarray(done, done + Math.min(into.length - done, unit.content - within))
      if (unit.encoding === undefined) await region.read(piece, unit.offset + within)
      else (await decoded(index, { ...unit, encoding: unit.encoding })).copy(piece, 0, within)
      done += piece.length
    }
  }

  async function read(at: number, length: number): Promise<Buffer> {
    const buffer = Buffer.allocUnsafeSlow(length)
    await readInto(buffer, at)
    return buffer
  }

  async function readPieces(pieces: readonly Piece[]): Promise<Buffer> {
    const buffer = Buffer.allocUnsafeSlow(bytesOf(pieces))
    let done = 0
    for (const piece of pieces) {
      const into = buffer.subarray(done, done + piece.bytes)
      if (piece.at < 0) into.fill(0)
      else await readInto(into, piece.at)
      done += piece.bytes
    }
    return buffer
  }

  return { image, bytes, unitAt, startOf, read, readPieces, readStored }
}

export function bytesOf(pieces: readonly { readonly bytes: number }[]): number {
  return pieces.reduce((sum, { bytes }) => sum + bytes, 0)
}
