import type { CodecName } from '../core/encoding.ts'
import { lastStart } from '../core/search.ts'
import type { Piece } from '../expand/image.ts'

/** What is packed inside files of the base, decoded; it stands behind the content of the image. */
export interface NestedContent {
  readonly codec: CodecName
  /** Where the stored bytes are. */
  readonly stored: readonly Piece[]
  readonly content: Buffer
}

export interface NestedContents {
  add(nested: NestedContent): Piece
  /** The one that holds the content at `at`, which is behind that of the image, and where it starts. */
  at(at: number): NestedContent & { readonly start: number }
  read(piece: Piece): Buffer
}

export function nestedContents(contentBytes: number): NestedContents {
  const contents: (NestedContent & { start: number })[] = []
  let end = contentBytes

  function find(at: number): NestedContent & { start: number } {
    const found = contents[lastStart(contents.length, at, (index) => contents[index]?.start)]
    if (found === undefined) throw new RangeError(`no nested content at ${at}`)
    return found
  }

  return {
    add(nested) {
      const piece = { at: end, bytes: nested.content.length }
      contents.push({ ...nested, start: end })
      end += piece.bytes
      return piece
    },
    at: find,
    read({ at, bytes }) {
      const { content, start } = find(at)
      return content.subarray(at - start, at - start + bytes)
    },
  }
}
