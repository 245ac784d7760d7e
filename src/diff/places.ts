import { digestOf } from '../core/digest.ts'
import { lastStart } from '../core/search.ts'
import type { Run } from '../delta/program.ts'
import type { Piece } from '../expand/image.ts'
import type { Base } from './base.ts'
import type { ImageRun } from './runs.ts'

/** Where a part of the new image's content can be copied from: it is made already, or the base has it, or neither. */
export type Place = { readonly bytes: number } & (
  | { readonly kind: 'copy' | 'self'; readonly runs: readonly Run[] }
  | { readonly kind: 'nowhere' }
)

/** Where the content of the new image has come to lie. */
export interface Places {
  /** The next run is made at `position`. */
  begin(run: ImageRun, position: number): void
  remember(content: Buffer, pieces: readonly Piece[]): void
  /** Where a file with exactly these bytes is, made or not. */
  find(content: Buffer): readonly Piece[] | undefined
  /** Place by place. */
  locate(at: number, bytes: number): Place[]
}

export interface PlacesOptions {
  readonly base: Base | undefined
  readonly imageBytes: number
  readonly chunkBytes: number
}

interface MadeRun {
  readonly run: ImageRun
  /** In the self space. */
  readonly from: number
  readonly storedEnd: number
}

export function trackPlaces({ base, imageBytes, chunkBytes }: PlacesOptions): Places {
  const files = new Map<string, readonly Piece[]>()
  /** By start of their content, ascending only within each pass over the image. */
  const runs: MadeRun[] = []
  let contentEnd = imageBytes
  let complete = 0
  let isSorted = false

  function begin(run: ImageRun, position: number): void {
    complete = Math.floor(position / chunkBytes) * chunkBytes
    const from = run.fate.kind === 'pack' ? contentEnd : position
    if (run.fate.kind === 'pack') contentEnd += run.bytes
    runs.push({ run, from, storedEnd: position + run.stored })
    isSorted = false
  }

  function locate(at: number, bytes: number): Place[] {
    const places: Place[] = []
    for (let done = 0; done < bytes; ) {
      const place = placeAt(at + done, bytes - done)
      places.push(place)
      done += place.bytes
    }
    return places
  }

  function placeAt(at: number, most: number): Place {
    if (!isSorted) runs.sort((a, b) => a.run.at - b.run.at)
    isSorted = true
    const index = lastStart(runs.length, at, (number) => runs[number]?.run.at)
    const made = runs[index]
    if (made === undefined || at < made.run.at) return { kind: 'nowhere', bytes: most }
    const left = made.run.at + made.run.bytes - at
    if (left > 0) return placeIn(made, at - made.run.at, Math.min(most, left))
    const next = runs[index + 1]?.run.at ?? at + most
    return { kind: 'nowhere', bytes: Math.min(most, next - at) }
  }

  function placeIn({ run, from, storedEnd }: MadeRun, within: number, bytes: number): Place {
    const { fate } = run
    if (fate.kind === 'stored' && base) {
      const runs = base.locate(base.content.startOf(fate.unit) + within, bytes)
      return { kind: 'copy', bytes, runs }
    }
    if (fate.kind === 'opaque' || storedEnd > complete) return { kind: 'nowhere', bytes }
    return { kind: 'self', bytes, runs: [{ from: from + within, bytes }] }
  }

  return {
    begin,
    remember: (bytes, pieces) => void files.set(digestOf(bytes), pieces),
    find: (bytes) => files.get(digestOf(bytes)),
    locate,
  }
}
