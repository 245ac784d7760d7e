import { expect, test } from 'vitest'
import { trackPlaces } from '../../src/diff/places.ts'
import type { UnitFate } from '../../src/diff/prove.ts'
import type { ImageRun } from '../../src/diff/runs.ts'

const RUN_BYTES = 100
const CHUNK_BYTES = 150

/** The runs of an image, each a hundred bytes in it and of content, begun in order. */
function placesAfter(fates: readonly UnitFate['kind'][]) {
  const imageBytes = 1000
  const places = trackPlaces({ base: undefined, imageBytes, chunkBytes: CHUNK_BYTES })
  for (const [index, kind] of fates.entries()) {
    const fate: UnitFate =
      kind === 'pack'
        ? { kind, lookahead: 0 }
        : kind === 'stored'
          ? { kind, from: index * RUN_BYTES, unit: index }
          : { kind }
    const at = index * RUN_BYTES
    const run: ImageRun = {
      unit: index,
      fate,
      offset: at,
      stored: RUN_BYTES,
      at,
      bytes: RUN_BYTES,
      files: [],
    }
    places.begin(run, at)
  }
  return places
}

test('content in complete chunks is found, piece by piece', () => {
  const places = placesAfter(['raw', 'pack', 'raw', 'raw', 'raw'])
  expect(places.locate(50, 200)).toEqual([
    { kind: 'self', bytes: 50, runs: [{ from: 50, bytes: 50 }] },
    // What is in a block is behind the image.
    { kind: 'self', bytes: 100, runs: [{ from: 1000, bytes: 100 }] },
    { kind: 'self', bytes: 50, runs: [{ from: 200, bytes: 50 }] },
  ])
})

test('content that is not made, or of which nobody knows how it is packed, is nowhere; what is around it is found', () => {
  const places = placesAfter(['raw', 'opaque', 'raw', 'raw', 'raw'])
  expect(places.locate(50, 400).map(({ kind, bytes }) => [kind, bytes])).toEqual([
    ['self', 50],
    ['nowhere', 100],
    ['self', 100],
    // The third chunk is not complete where the last run begins.
    ['nowhere', 100],
    ['nowhere', 50],
  ])
  expect(places.locate(500, 300)).toEqual([{ kind: 'nowhere', bytes: 300 }])
})
