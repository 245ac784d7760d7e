import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Flip, tableChange } from '../../src/hijack/table-change.ts'
import { encodeGpt, GPT_HEAD_BYTES, type GptTable, parseGpt } from '../../src/model/gpt.ts'
import { addEntries, renamed, resized, withoutEntry } from '../../src/model/gpt-edit.ts'
import { openWorkshop, type Workshop } from '../support/cli.ts'
import {
  carvedEntries,
  type DiskEnds,
  endsOf,
  LINUX,
  MIB,
  makeDisk,
  parse,
  SECTOR,
  sfdisk,
  writePieces,
} from './gpt-disk.ts'
import { READERS, sectorsOf, seenOf, written } from './table-readers.ts'

let shop: Workshop
let disk: string
let old: DiskEnds
let table: GptTable
let committed: GptTable

beforeAll(() => {
  shop = openWorkshop()
  disk = shop.path('disk')
  makeDisk(disk)
  old = endsOf(disk)
  table = parse(old)
  committed = addEntries(renamed(table, 1, 'bios-boot'), carvedEntries())
})
afterAll(() => shop.close())

const change = (from: DiskEnds, to: GptTable): Flip => tableChange(parse(from), to, from.head)
const done = (from: DiskEnds, { prepare, flip }: Flip): DiskEnds => written(from, [...prepare, flip])

/** The old root is dropped, state goes on to the end of the disk. */
const reclaimed = (now: GptTable) => resized(withoutEntry(now, 2), 7, now.lastUsable)

function expectSeen(found: DiskEnds, expected: readonly GptTable[]): void {
  const allowed = expected.map(seenOf)
  for (const [name, read] of Object.entries(READERS))
    expect(allowed.includes(read(found)), `${name} sees ${read(found)}`).toBe(true)
}

/** Any part of what is being written, in any order. */
const cut = (flip: Flip) => fc.subarray(sectorsOf(flip.prepare))

describe('a table is changed by one sector', () => {
  test('which is its header; the list in use is not written', () => {
    const { prepare, flip } = change(old, committed)
    expect(flip).toMatchObject({ offset: SECTOR, bytes: { length: SECTOR } })
    // Backup list, backup header, and the list for the primary in physical sectors of its own.
    const places = prepare.map(({ offset, bytes }) => [offset / SECTOR, bytes.length / SECTOR])
    expect(places).toEqual([
      [old.bytes / SECTOR - 33, 32],
      [old.bytes / SECTOR - 1, 1],
      [40, 32],
    ])
  })

  const steps: Record<string, () => [DiskEnds, GptTable]> = {
    'partitions are added': () => [old, committed],
    'the old root goes': () => {
      const now = done(old, change(old, committed))
      return [now, reclaimed(parse(now))]
    },
    'a takeover is taken back': () => [done(old, change(old, committed)), table],
    'the backup was lost before': () => [{ ...old, tail: Buffer.alloc(old.tail.length) }, committed],
  }

  test.each(Object.keys(steps))(
    'all readers see the old or the new one, wherever the power goes: %s',
    (name) => {
      const [from, to] = steps[name]?.() ?? [old, table]
      const flip = change(from, to)
      const before = parse(from)
      fc.assert(
        fc.property(cut(flip), (some) => expectSeen(written(from, some), [before])),
        { numRuns: 300 },
      )
      // Each write on its own, and all of them up to each.
      for (const [index, sector] of sectorsOf(flip.prepare).entries()) {
        expectSeen(written(from, [sector]), [before])
        expectSeen(written(from, sectorsOf(flip.prepare).slice(0, index)), [before])
      }
      const prepared = written(from, flip.prepare)
      expectSeen(prepared, [before])
      expect(READERS.fallingBack({ ...prepared, head: withoutHeader(prepared.head) })).toBe(seenOf(to))
      expectSeen(written(prepared, [flip.flip]), [to])
      expect(parse(written(prepared, [flip.flip]))).toMatchObject({ intact: 'both', entries: to.entries })
    },
  )

  test('also where it is begun again after one power cut, and after the next', () => {
    const first = change(old, committed)
    fc.assert(
      fc.property(cut(first), fc.infiniteStream(fc.nat(9)), (some, dice) => {
        const after = written(old, some)
        expect(parse(after).entries).toEqual(table.entries)
        const second = change(after, committed)
        const again = sectorsOf(second.prepare).filter(() => (dice.next().value ?? 0) < 5)
        expectSeen(written(after, again), [table])
        expectSeen(done(written(after, again), second), [committed])
      }),
      { numRuns: 100 },
    )
  })

  test('real sfdisk agrees', () => {
    const flip = change(old, committed)
    const names = () => JSON.parse(sfdisk(disk)).partitiontable.partitions.length
    fc.assert(
      fc.property(cut(flip), (some) => {
        const { head, tail, bytes } = written(old, some)
        const pieces = [
          { offset: 0, bytes: head },
          { offset: bytes - tail.length, bytes: tail },
        ]
        writePieces(disk, pieces)
        expect(names()).toBe(2)
        writePieces(disk, [...flip.prepare, flip.flip])
        expect(names()).toBe(7)
      }),
      { numRuns: 5 },
    )
  })

  test('lists take turns; the way back ends with the bytes that were there', () => {
    const now = done(old, change(old, committed))
    expect(parse(now).arrayLba.primary).toBe(40)
    const later = done(now, change(now, reclaimed(parse(now))))
    expect(parse(later).arrayLba.primary).toBe(2)
    const back = done(now, change(now, table))
    expect(back.tail.equals(old.tail)).toBe(true)
    expect(back.head.subarray(0, 34 * SECTOR).equals(old.head.subarray(0, 34 * SECTOR))).toBe(true)
  })
})

function withoutHeader(head: Buffer): Buffer {
  return Buffer.from(head).fill(0, SECTOR, 2 * SECTOR)
}

describe('written in place it would not be safe', () => {
  const states = () => {
    const { primary, backup } = encodeGpt(committed)
    const flushed = written(old, [backup.entries, backup.header])
    return sectorsOf([primary.entries, primary.header]).map((_, count, all) =>
      written(flushed, all.slice(0, count + 1)),
    )
  }

  test('Linux finds no partition in between', () => {
    expect(states().some((state) => READERS.linux(state) === undefined)).toBe(true)
    // The reader that most people think of hides it.
    for (const state of states())
      expect([seenOf(table), seenOf(committed)]).toContain(READERS.fallingBack(state))
  })

  test('GRUB finds a mixture', () => {
    const mixed = states().filter(
      (state) => ![seenOf(table), seenOf(committed)].includes(READERS.grub(state)),
    )
    expect(mixed.length).toBeGreaterThan(0)
  })
})

describe('where the second list goes', () => {
  const withFirstAt = (lba: number) => {
    const path = shop.path(`first-${lba}`)
    makeDisk(
      path,
      `label: gpt\nfirst-lba: 34\nstart=${lba}, size=2048, type=${LINUX}\nstart=2MiB, type=${LINUX}\n`,
    )
    return endsOf(path)
  }
  const placeOn = (ends: DiskEnds) => {
    const wanted = addEntries(parse(ends), carvedEntries())
    return parse(done(ends, change(ends, wanted)))
  }

  test.each([
    [2048, 40],
    [72, 40],
    [71, 34],
    [66, 34],
  ])('the first partition at sector %i: the list at %i, and nothing else may go there', (lba, place) => {
    const found = placeOn(withFirstAt(lba))
    expect(found.arrayLba.primary).toBe(place)
    expect(found.firstUsable).toBe(place + 32)
  })

  test.each([34, 65])('the first partition at sector %i: refused', (lba) => {
    const act = () => placeOn(withFirstAt(lba))
    expect(act).toThrow(expect.objectContaining({ code: 'TAKEOVER_REFUSED' }))
    expect(act).toThrow('no room for a second list')
  })

  test('not over what somebody put between table and partitions', () => {
    const head = Buffer.from(old.head)
    head.write('stage 1.5', 45 * SECTOR)
    const act = () => change({ ...old, head }, committed)
    expect(act).toThrow('no room')
    // A type with a place that no partition can have is no entry either.
    head.fill(0, 45 * SECTOR, 46 * SECTOR)
    head.fill(0xff, 45 * SECTOR, 45 * SECTOR + 48)
    expect(act).toThrow('no room')
    head.fill(0, 45 * SECTOR, 46 * SECTOR)
    expect(act).not.toThrow()
  })

  test('not where a partition is to be', () => {
    const ends = withFirstAt(72)
    const now = parse(ends)
    const wanted = addEntries(withoutEntry(now, 1), [
      {
        ...carvedEntries()[0],
        number: 9,
        typeGuid: LINUX,
        uniqueGuid: LINUX,
        name: '',
        attributes: 0n,
        firstLba: 50,
        lastLba: 60,
      },
    ])
    expect(() => change(ends, wanted)).toThrow('no room')
  })

  test('not where a partition is until then', () => {
    const ends = withFirstAt(34)
    expect(() => change(ends, withoutEntry(parse(ends), 1))).toThrow('no room')
  })

  test('not where nobody has looked', () => {
    expect(() => tableChange(table, committed, old.head.subarray(0, 60 * SECTOR))).toThrow('no room')
  })
})

describe('refused', () => {
  test('a disk on which only the backup is left', () => {
    const hit = { ...old, head: withoutHeader(old.head) }
    expect(() => change(hit, committed)).toThrow(
      expect.objectContaining({
        code: 'LAYOUT_INVALID',
        message: expect.stringContaining('only its backup'),
      }),
    )
  })

  test('the table of another disk', () => {
    expect(() => change(old, { ...committed, diskGuid: LINUX })).toThrow('tables of two disks')
  })
})

test('sectors of 4096 bytes: the second list is behind the first', () => {
  const sectorBytes = 4096
  const bytes = 64 * MIB
  const lastLba = bytes / sectorBytes - 1
  const sector = Buffer.alloc(sectorBytes)
  sector.write('EFI PART\0\0\x01\0\x5c', 'latin1')
  sector.writeUInt32LE(128, 84)
  const blank: GptTable = {
    ...{ sectorBytes, lastLba, firstUsable: 6, lastUsable: lastLba - 5, entryCount: 128, entries: [] },
    ...{ diskGuid: LINUX, arrayLba: { primary: 2, backup: lastLba - 4 }, intact: 'both' },
    raw: { header: sector, array: Buffer.alloc(16384) },
  }
  const head = Buffer.alloc(GPT_HEAD_BYTES)
  old.head.copy(head, 0, 0, SECTOR)
  const empty = { head, tail: Buffer.alloc(65536), bytes }
  const { primary, backup } = encodeGpt(blank)
  const first = written(empty, [primary.entries, primary.header, backup.entries, backup.header])
  const now = parseGpt(first.head, first.tail, bytes, sectorBytes)
  const [entry] = carvedEntries()
  const wanted = entry ? addEntries(now, [{ ...entry, firstLba: 256, lastLba: 511 }]) : now
  const { prepare, flip } = tableChange(now, wanted, first.head)
  expect(flip).toMatchObject({ offset: sectorBytes, bytes: { length: sectorBytes } })
  const after = written(first, [...prepare, flip])
  expect(parseGpt(after.head, after.tail, bytes, sectorBytes)).toMatchObject({
    arrayLba: { primary: 6 },
    firstUsable: 10,
    entries: wanted.entries,
    intact: 'both',
  })
})
