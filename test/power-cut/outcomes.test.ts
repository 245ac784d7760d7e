import { describe, expect, test } from 'vitest'
import {
  contentOf,
  copyDisk,
  type Disk,
  makeDisk,
  markOf,
  type Piece,
  takeBack,
  writePiece,
  writePieces,
} from './disk.ts'
import { outcomesOf } from './outcomes.ts'
import { seededRandom } from './random.ts'
import { cutsOf, recordFlush, recordWrite, startRecording } from './recording.ts'

const SECTOR = 512

function twoPartitions(): Disk {
  const blank = Buffer.alloc(8 * SECTOR)
  return makeDisk(
    new Map([
      ['bootstate', blank],
      ['rootfs-b', blank],
    ]),
  )
}

function piece(role: Piece['role'], sector: number, fill: string, sectors = 1): Piece {
  return { role, offset: sector * SECTOR, bytes: Buffer.alloc(sectors * SECTOR, fill) }
}

/** First letter of each sector, `.` for zeros. */
function lettersOf(disk: Disk, role: Piece['role']): string {
  const content = contentOf(disk, role)
  return Array.from({ length: 8 }, (_, sector) => String.fromCharCode(content[sector * SECTOR] || 46)).join(
    '',
  )
}

describe('what a flush covers', () => {
  test('what was written before it to its own partition, and nothing else', () => {
    const recording = startRecording(twoPartitions())
    recordWrite(recording, piece('rootfs-b', 0, 'x'))
    recordWrite(recording, piece('bootstate', 0, 'y'))
    recordFlush(recording, 'bootstate')()
    const last = [...cutsOf(recording)].at(-1)
    expect(last?.volatile.map(({ role }) => role)).toEqual(['rootfs-b'])
    expect(last?.settled.map(({ role }) => role)).toEqual(['bootstate'])
  })

  test('not what is written while it runs, and nothing before it is over', () => {
    const recording = startRecording(twoPartitions())
    recordWrite(recording, piece('rootfs-b', 0, 'x'))
    const end = recordFlush(recording, 'rootfs-b')
    recordWrite(recording, piece('rootfs-b', 1, 'y'))
    expect([...cutsOf(recording)].at(-1)?.volatile.length).toBe(2)
    end()
    expect([...cutsOf(recording)].at(-1)?.volatile.map(({ offset }) => offset)).toEqual([SECTOR])
  })
})

describe('what may be left', () => {
  const written = [piece('bootstate', 0, 'x', 2), piece('bootstate', 1, 'y', 2)]

  function leftOf(volatile: readonly Piece[], half = false): Set<string> {
    const base = twoPartitions()
    const left = copyDisk(base)
    const found = new Set<string>()
    for (const { pieces } of outcomesOf(volatile, { limit: 400, random: seededRandom(7), half })) {
      writePieces(left, pieces)
      found.add(lettersOf(left, 'bootstate').slice(0, 4))
      takeBack(left, pieces, base)
    }
    return found
  }

  test('each sector for itself: not there, or of any of the writes', () => {
    const expected = ['.', 'x'].flatMap((first) =>
      ['.', 'x', 'y'].flatMap((second) => ['.', 'y'].map((third) => `${first}${second}${third}.`)),
    )
    expect([...leftOf(written)].sort()).toEqual(expected.sort())
  })

  test('one disk where everything was flushed', () => {
    expect([...leftOf([])]).toEqual(['....'])
  })

  test('a write that does not begin at a sector is torn where one begins', () => {
    const odd: Piece = { role: 'bootstate', offset: 100, bytes: Buffer.alloc(SECTOR, 'z') }
    const outcomes = [...outcomesOf([odd], { limit: 50, random: seededRandom(1), half: false })]
    const torn = outcomes.filter(({ kind }) => kind === 'torn').map(({ pieces }) => pieces.at(-1))
    expect(torn.map((part) => [part?.offset, part?.bytes.length])).toEqual([
      [100, SECTOR - 100],
      [SECTOR, 100],
    ])
  })

  test('half a sector only where it was asked for', () => {
    const kinds = (half: boolean) =>
      new Set([...outcomesOf(written, { limit: 50, random: seededRandom(1), half })].map(({ kind }) => kind))
    expect([kinds(false).has('half'), kinds(true).has('half')]).toEqual([false, true])
  })

  test('the same for the same seed', () => {
    const marks = (seed: number) =>
      [...outcomesOf(written, { limit: 50, random: seededRandom(seed), half: true })].map((outcome) =>
        outcome.pieces.map(({ offset, bytes }) => `${offset}+${bytes.length}`).join(),
      )
    expect(marks(3)).toEqual(marks(3))
    expect(marks(3)).not.toEqual(marks(4))
  })
})

describe('marks', () => {
  test('follow the content, however it came about', () => {
    const disk = twoPartitions()
    const blank = markOf(disk)
    writePiece(disk, piece('rootfs-b', 3, 'x'))
    const one = markOf(disk)
    writePiece(disk, piece('rootfs-b', 4, 'x'))
    writePiece(disk, piece('rootfs-b', 3, '\0'))
    const other = markOf(disk)
    writePiece(disk, piece('rootfs-b', 3, 'x'))
    writePiece(disk, piece('rootfs-b', 4, '\0'))
    expect(new Set([blank, one, other]).size).toBe(3)
    expect(markOf(disk)).toBe(one)
    expect(markOf(copyDisk(disk))).toBe(one)
  })
})
