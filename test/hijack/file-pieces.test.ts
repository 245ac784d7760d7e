import { describe, expect, test } from 'vitest'
import { gapsBetween, inPieces, piecesOf } from '../../src/hijack/file-pieces.ts'
import { openMemoryRegion } from '../support/memory-region.ts'

/** Two groups that lie behind each other on the disk, given to the file in the other order; and one elsewhere. */
const EXTENTS = [
  { logical: 0, physical: 130, bytes: 30 },
  { logical: 30, physical: 100, bytes: 30 },
  { logical: 60, physical: 500, bytes: 10 },
]
const PART = { offset: 1110, bytes: 40 }

test('a part of the disk is found in the file, in the order of the disk', () => {
  expect(piecesOf(EXTENTS, PART, 1000)).toEqual([
    { logical: 40, bytes: 20 },
    { logical: 0, bytes: 20 },
  ])
  expect(piecesOf(EXTENTS, { offset: 1700, bytes: 10 }, 1000)).toEqual([])
})

test('gaps are what is in no piece', () => {
  expect(gapsBetween(piecesOf(EXTENTS, PART, 1000), 70)).toEqual([
    { logical: 20, bytes: 20 },
    { logical: 60, bytes: 10 },
  ])
  expect(gapsBetween([], 5)).toEqual([{ logical: 0, bytes: 5 }])
  expect(gapsBetween([{ logical: 0, bytes: 5 }], 5)).toEqual([])
})

describe('a region of pieces', () => {
  const bytes = Buffer.from(Array.from({ length: 70 }, (_, index) => index))
  const region = (content: Buffer) => inPieces(openMemoryRegion(content), piecesOf(EXTENTS, PART, 1000))

  test('is read and written across them, and nothing else is', async () => {
    const content = Buffer.from(bytes)
    const found = Buffer.alloc(6)
    await region(content).read(found, 17)
    expect([...found]).toEqual([57, 58, 59, 0, 1, 2])
    await region(content).write(Buffer.alloc(6, 255), 17)
    expect([...content.entries()].filter(([at, byte]) => byte !== at).map(([at]) => at)).toEqual([
      0, 1, 2, 57, 58, 59,
    ])
  })

  test('ends where they end', async () => {
    const content = Buffer.from(bytes)
    await expect(region(content).write(Buffer.alloc(2), 39)).rejects.toMatchObject({ code: 'IO_FAILED' })
    await expect(region(content).read(Buffer.alloc(41), 0)).rejects.toMatchObject({ code: 'IO_FAILED' })
    expect(content.equals(bytes)).toBe(true)
  })
})
