import { describe, expect, test } from 'vitest'
import { pruneMap } from '../../src/diff/moves.ts'

/** Of steps, each its start and its shift. */
function mapOf(steps: readonly (readonly [start: number, shift: number])[], end: number): Float64Array {
  return Float64Array.from([...steps.map(([start]) => start), ...steps.map(([, shift]) => shift), end])
}

describe('of a map', () => {
  test('steps that next to nothing points to are left out', () => {
    const map = mapOf(
      [
        [0, 1],
        [10, 2],
        [20, 3],
        [30, 4],
      ],
      40,
    )
    const pruned = mapOf(
      [
        [0, 1],
        [30, 4],
      ],
      40,
    )
    expect(pruneMap(map, Uint32Array.from([9, 0, 1, 2]))).toEqual(pruned)
  })

  test('the first stays: addresses before it do not move', () => {
    expect(pruneMap(mapOf([[10, 7]], 20), Uint32Array.from([0]))).toEqual(mapOf([[10, 7]], 20))
  })

  test('steps between which one was left out are joined where they move alike', () => {
    const map = mapOf(
      [
        [0, 5],
        [10, 2],
        [20, 5],
      ],
      30,
    )
    expect(pruneMap(map, Uint32Array.from([3, 1, 3]))).toEqual(mapOf([[0, 5]], 30))
  })

  test('nothing is left out of nothing', () => {
    expect(pruneMap(Float64Array.from([7]), new Uint32Array(0))).toEqual(Float64Array.from([7]))
  })
})
