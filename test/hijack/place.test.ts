import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ALIGNMENT, largestPlace, type Placed, place, type Run, runsOf } from '../../src/hijack/place.ts'
import type { Wanted } from '../../src/hijack/wanted.ts'
import { ROLES } from '../../src/model/layout.ts'

const MiB = ALIGNMENT
const DISK = 4000 * MiB

/** In MiB. */
const runAt = (offset: number, size: number): Run => ({ offset: offset * MiB, bytes: size * MiB })
const wants = (name: Wanted['name'], size: number, grows = false): Wanted => ({
  name,
  bytes: size * MiB,
  grows,
})

function offsetsOf(placed: readonly Placed[] | undefined): Record<string, number> {
  return Object.fromEntries((placed ?? []).map(({ name, offset }) => [name, offset / MiB]))
}

describe('runs', () => {
  test('are what follows each other on the disk, in whatever order of the file', () => {
    const extents = [
      { logical: 0, physical: 120, bytes: 10 },
      { logical: 10, physical: 110, bytes: 10 },
      { logical: 20, physical: 100, bytes: 10 },
      { logical: 30, physical: 200, bytes: 5 },
      { logical: 35, physical: 131, bytes: 5 },
    ]
    expect(runsOf(extents, 1000)).toEqual([
      { offset: 1100, bytes: 30 },
      { offset: 1131, bytes: 5 },
      { offset: 1200, bytes: 5 },
    ])
  })

  test('the largest place counts from where a partition can start', () => {
    expect(largestPlace([{ offset: MiB / 2, bytes: 3 * MiB }])).toBe(2.5 * MiB)
    expect(largestPlace([{ offset: MiB / 2, bytes: MiB / 4 }])).toBe(0)
    expect(largestPlace([])).toBe(0)
  })
})

describe('the table', () => {
  test('the best fit, the largest first', () => {
    const placed = place(
      [runAt(0, 100), runAt(200, 40), runAt(300, 60)],
      [wants('swap', 40), wants('rootfs-a', 60)],
      DISK,
    )
    expect(offsetsOf(placed)).toEqual({ swap: 200, 'rootfs-a': 300 })
    expect(placed?.map(({ name }) => name)).toEqual(['swap', 'rootfs-a'])
  })

  test('where a partition can start', () => {
    const run = { offset: 2.5 * MiB, bytes: 9 * MiB }
    expect(place([run], [wants('rootfs-a', 2)], DISK)).toEqual([
      { name: 'rootfs-a', offset: 3 * MiB, bytes: 2 * MiB },
    ])
  })

  test('what grows goes where the most follows it, up to the end of the old partition', () => {
    const runs = [runAt(100, 60), runAt(500, 60)]
    const wanted = [wants('state', 25, true), wants('rootfs-a', 40)]
    expect(offsetsOf(place(runs, wanted, 1000 * MiB))).toEqual({ 'rootfs-a': 100, state: 500 })
    // With little behind the second run there is more between the two.
    expect(offsetsOf(place(runs, wanted, 570 * MiB))).toEqual({ state: 100, 'rootfs-a': 520 })
  })

  test('the best fit is not taken where it stands in the way of what grows', () => {
    const runs = [runAt(100, 200), runAt(400, 50)]
    const placed = place(runs, [wants('rootfs-a', 50), wants('state', 20, true)], DISK)
    expect(offsetsOf(placed)).toEqual({ 'rootfs-a': 100, state: 150 })
  })

  test('it goes where the most follows, not into the smallest, first or last run', () => {
    const runs = [runAt(100, 30), runAt(150, 60), runAt(300, 40), runAt(900, 25)]
    const placed = place(runs, [wants('rootfs-a', 60), wants('state', 20, true)], 1000 * MiB)
    expect(offsetsOf(placed)).toEqual({ 'rootfs-a': 150, state: 300 })
  })

  test('the largest first: small ones do not take what they could do without', () => {
    const runs = [runAt(100, 50), runAt(200, 80), runAt(300, 50)]
    const wanted = [wants('rootfs-a', 40), wants('rootfs-b', 40), wants('swap', 50), wants('state', 50)]
    expect(offsetsOf(place(runs, wanted, DISK))).toEqual({
      'rootfs-a': 200,
      'rootfs-b': 240,
      swap: 100,
      state: 300,
    })
  })

  test('of runs that are alike it is the first on the disk', () => {
    const runs = [runAt(300, 50), runAt(100, 50), runAt(200, 50)]
    for (const each of [runs, [...runs].reverse()])
      expect(offsetsOf(place(each, [wants('swap', 50)], DISK))).toEqual({ swap: 100 })
  })

  test('what grows gets the one run that it fits, where the others fit elsewhere too', () => {
    const runs = [runAt(100, 100), runAt(300, 51)]
    const wanted = [wants('rootfs-a', 50), wants('rootfs-b', 50), wants('state', 51, true)]
    expect(offsetsOf(place(runs, wanted, 400 * MiB))).toEqual({
      'rootfs-a': 100,
      'rootfs-b': 150,
      state: 300,
    })
  })

  test('a run that is large enough, but not from where a partition can start', () => {
    const run = { offset: MiB / 2, bytes: 2.25 * MiB }
    expect(place([run], [wants('swap', 2)], DISK)).toBeUndefined()
    expect(place([run], [wants('swap', 1)], DISK)).toHaveLength(1)
  })

  test('nothing where one does not fit, or all together do not', () => {
    expect(place([runAt(0, 10)], [wants('swap', 11)], DISK)).toBeUndefined()
    expect(place([runAt(0, 10)], [wants('swap', 6), wants('state', 5, true)], DISK)).toBeUndefined()
    expect(place([], [wants('swap', 1)], DISK)).toBeUndefined()
    expect(place([runAt(0, 10)], [], DISK)).toEqual([])
  })
})

/** Runs that do not overlap. */
const anyRuns: fc.Arbitrary<Run[]> = fc
  .array(
    fc.record({
      gap: fc.integer({ min: 0, max: 3 * MiB }),
      bytes: fc.integer({ min: 1, max: 40 * MiB }),
    }),
    { maxLength: 12 },
  )
  .map((pieces) => {
    let end = 0
    return pieces.map(({ gap, bytes }) => {
      const offset = end + gap
      end = offset + bytes
      return { offset, bytes }
    })
  })

const anyWanted: fc.Arbitrary<Wanted[]> = fc
  .tuple(fc.shuffledSubarray([...ROLES]), fc.array(fc.integer({ min: 1, max: 15 * MiB }), { minLength: 5 }))
  .chain(([names, sizes]) =>
    fc
      .integer({ min: -1, max: names.length - 1 })
      .map((growing) =>
        names.map((name, index) => ({ name, bytes: sizes[index] ?? 1, grows: index === growing })),
      ),
  )

const LIMIT = 600 * MiB

describe('whatever the runs are', () => {
  const check = (assert: (runs: Run[], wanted: Wanted[], placed: Placed[]) => void): void => {
    let found = 0
    fc.assert(
      fc.property(anyRuns, anyWanted, (runs, wanted) => {
        const placed = place(runs, wanted, LIMIT)
        if (placed === undefined) return
        found++
        assert(runs, wanted, placed)
      }),
      { numRuns: 1000 },
    )
    expect(found).toBeGreaterThan(100)
  }

  test('each has its place, aligned, within one run', () => {
    check((runs, wanted, placed) => {
      expect(placed.map(({ name, bytes }) => ({ name, bytes }))).toEqual(
        wanted.map(({ name, bytes }) => ({ name, bytes })),
      )
      for (const { offset, bytes } of placed) {
        expect(offset % ALIGNMENT).toBe(0)
        const run = runs.find((each) => each.offset <= offset && offset + bytes <= each.offset + each.bytes)
        expect(run).toBeDefined()
      }
    })
  })

  test('none lies over another', () => {
    check((_, __, placed) => {
      const inOrder = [...placed].sort((one, other) => one.offset - other.offset)
      for (const [index, { offset }] of inOrder.entries()) {
        const before = inOrder[index - 1]
        if (before !== undefined) expect(before.offset + before.bytes).toBeLessThanOrEqual(offset)
      }
    })
  })

  test('what grows could not be moved within its run to where more follows it', () => {
    check((runs, wanted, placed) => {
      const growing = placed.find(({ name }) => wanted.find(({ grows }) => grows)?.name === name)
      const run = runs.find(
        ({ offset, bytes }) => growing && offset <= growing.offset && growing.offset < offset + bytes,
      )
      if (growing === undefined || run === undefined) return
      const before = placed
        .filter(({ offset }) => offset < growing.offset)
        .map(({ offset, bytes }) => offset + bytes)
      const earliest = Math.ceil(Math.max(run.offset, ...before) / ALIGNMENT) * ALIGNMENT
      expect(growing.offset).toBe(earliest)
    })
  })

  test('the same is chosen for the same, in whatever order the runs come', () => {
    check((runs, wanted, placed) => {
      expect(place([...runs].reverse(), wanted, LIMIT)).toEqual(placed)
    })
  })

  test('one that fits a run gets a place, and one that fits none does not', () => {
    const anyBytes = fc.integer({ min: 1, max: 45 * MiB })
    fc.assert(
      fc.property(anyRuns, anyBytes, fc.boolean(), (runs, bytes, grows) => {
        const placed = place(runs, [{ name: 'state', bytes, grows }], LIMIT)
        expect(placed !== undefined).toBe(largestPlace(runs) >= bytes)
      }),
    )
  })
})
