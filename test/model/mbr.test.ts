import { execFileSync } from 'node:child_process'
import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { PineError } from '../../src/core/error.ts'
import { type MbrTable, protectiveSector, readMbr } from '../../src/model/mbr.ts'

const SECTOR = 512
const SECTORS = 64 * 2048

let dir: string
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'pine-mbr-'))
})
afterAll(() => rmSync(dir, { recursive: true }))

interface Listed {
  id: string
  partitions?: { node: string; start: number; size: number; type: string }[]
}

/** A disk of 64 MiB, and what sfdisk says of it. */
function made(script: string): { disk: Buffer; listed: Listed } {
  const path = join(dir, 'disk')
  const file = openSync(path, 'w')
  ftruncateSync(file, SECTORS * SECTOR)
  closeSync(file)
  execFileSync('sfdisk', ['--quiet', path], { input: `label: dos\n${script}`, stdio: 'pipe' })
  const text = execFileSync('sfdisk', ['--json', path], { encoding: 'utf8' })
  const listed = (JSON.parse(text) as { partitiontable: Listed }).partitiontable
  return { disk: readFileSync(path), listed }
}

function read(disk: Buffer, sectors = disk.length / SECTOR): Promise<MbrTable> {
  return readMbr(async (lba) => {
    if (lba >= disk.length / SECTOR) throw new Error(`sector ${lba} is not on the disk`)
    return disk.subarray(lba * SECTOR, (lba + 1) * SECTOR)
  }, sectors)
}

const EXTENDED = ['5', 'f', '85']
const TABLES: [string, string][] = [
  ['one partition', 'start=2048, type=83, bootable'],
  ['four partitions', 'size=10MiB\nsize=10MiB, type=82\nsize=10MiB, type=8e\nsize=10MiB'],
  ['holes', '2: start=4096, size=8192\n4: start=16384, size=8192'],
  ['partitions that are not in the order of the disk', 'start=65536, size=2048\nstart=2048, size=2048'],
  ['logical partitions', 'size=20MiB\ntype=5\nsize=4MiB\nsize=4MiB, type=82\nsize=4MiB'],
  ['an extended partition of the other kind', 'size=20MiB\ntype=f\nsize=4MiB\nsize=4MiB'],
  ['Linux\u2019s own kind of it', 'size=20MiB\ntype=85\nsize=4MiB\nsize=4MiB'],
  ['a chain that goes backwards', 'size=10MiB\ntype=5\n5: start=90000, size=2048\n6: start=50000, size=2048'],
  ['an extended partition with nothing in it', 'size=20MiB\ntype=5'],
  [
    'an extended partition that comes first',
    'start=2048, size=20MiB, type=5\nsize=20MiB\nstart=4096, size=4096',
  ],
  ['no partition', ''],
]

describe('an MBR that sfdisk made', () => {
  test.each(TABLES)('with %s is read as sfdisk reads it', async (_, script) => {
    const { disk, listed } = made(script)
    const table = await read(disk)
    expect(`0x${table.signature}`).toBe(listed.id)
    const all = listed.partitions ?? []
    const expected = all
      .filter(({ type }) => !EXTENDED.includes(type))
      .map(({ node, start, size, type }) => ({
        ...{ number: Number(/\d+$/.exec(node)?.[0]), type: Number.parseInt(type, 16) },
        ...{ firstLba: start, lastLba: start + size - 1 },
      }))
    expect(table.partitions).toEqual(expected)
    expect(table.gapEnd).toBe(Math.min(SECTORS, ...all.map(({ start }) => start)))
    expect(table.lastTaken).toBeGreaterThanOrEqual(Math.max(0, ...expected.map(({ lastLba }) => lastLba)))
    expect(table.lastLba).toBe(SECTORS - 1)
  })

  test('of which the first logical partition was deleted: the next one has its number', async () => {
    const path = join(dir, 'disk')
    made('size=20MiB\ntype=5\nsize=4MiB\nsize=4MiB, type=82')
    execFileSync('sfdisk', ['--quiet', '--delete', path, '5'], { stdio: 'pipe' })
    const { partitions } = await read(readFileSync(path))
    expect(partitions.map(({ number, type }) => [number, type])).toEqual([
      [1, 0x83],
      [5, 0x82],
    ])
  })
})

/** Offsets of the record with that index, in that sector. */
const at = (lba: number, index: number, field = 0) => lba * SECTOR + 446 + index * 16 + field
const LOGICAL = 'size=20MiB\nstart=43008, type=5\nsize=4MiB\nsize=4MiB\nsize=4MiB'
const FIRST = 43008

const BROKEN: [string, (disk: Buffer) => unknown, string][] = [
  ['without its mark', (disk) => disk.fill(0, 510, 512), 'sector 0 does not end as one'],
  ['that only points to a GPT', (disk) => disk.fill(0xee, at(0, 0, 4), at(0, 0, 5)), 'there is a GPT'],
  ['with two extended partitions', (disk) => disk.fill(5, at(0, 0, 4), at(0, 0, 5)), '2 extended partitions'],
  [
    'with a partition behind the end',
    (disk) => disk.writeUInt32LE(SECTORS, at(0, 0, 12)),
    'a partition is at 2048 to',
  ],
  ['with a partition over the table', (disk) => disk.writeUInt32LE(0, at(0, 0, 8)), 'a partition is at 0 to'],
  ['with partitions of 2 TiB', (disk) => disk.fill(0xff, at(0, 0, 8), at(0, 1)), 'outside of 1 to'],
  [
    'with partitions that overlap',
    (disk) => disk.writeUInt32LE(FIRST, at(0, 0, 12)),
    'two partitions have sector',
  ],
  [
    'with a record that has a place and no type',
    (disk) => disk.fill(0, at(0, 0, 4), at(0, 0, 5)),
    'has type 0',
  ],
  [
    'with a record that has a type and no place',
    (disk) => disk.writeUInt32LE(0, at(0, 0, 12)),
    'and 0 sectors',
  ],
  [
    'with a record that is something else',
    (disk) => disk.fill(0x41, at(0, 0), at(0, 0, 1)),
    'begins with 65',
  ],
  [
    'with a chain that is not there',
    (disk) => disk.fill(0, FIRST * SECTOR, (FIRST + 1) * SECTOR),
    'does not end as',
  ],
  [
    'with a chain that comes back',
    (disk) => disk.writeUInt32LE(0, at(FIRST, 1, 8)),
    'comes back to sector 43008',
  ],
  [
    'with a chain that leaves its room',
    (disk) => disk.writeUInt32LE(SECTORS, at(FIRST, 1, 8)),
    'outside of 43008 to',
  ],
  [
    'with a logical partition that leaves its room',
    (disk) => disk.writeUInt32LE(SECTORS, at(FIRST, 0, 12)),
    'outside of 43008 to',
  ],
  [
    'with a logical partition over its chain',
    (disk) => disk.writeUInt32LE(12_000, at(FIRST, 0, 12)),
    'two partitions have sector',
  ],
  [
    'with two logical partitions in one place',
    (disk) => disk.copy(disk, at(FIRST, 2), at(FIRST, 0), at(FIRST, 1)),
    'describes more than one',
  ],
]

describe('an MBR is refused', () => {
  test.each(BROKEN)('%s', async (_, edit, text) => {
    const { disk } = made(LOGICAL)
    await read(disk)
    edit(disk)
    await expect(read(disk)).rejects.toMatchObject({
      code: 'LAYOUT_INVALID',
      message: expect.stringContaining(text),
    })
  })

  test('with a chain that does not end', async () => {
    const { disk } = made('type=5')
    const first = 2048
    for (let index = 0; index < 200; index++) {
      disk.writeUInt16LE(0xaa55, (first + index) * SECTOR + 510)
      disk.fill(5, at(first + index, 1, 4), at(first + index, 1, 5))
      disk.writeUInt32LE(index + 1, at(first + index, 1, 8))
      disk.writeUInt32LE(1, at(first + index, 1, 12))
    }
    await expect(read(disk)).rejects.toThrow('more than 100 links')
  })

  test('or what it says is on the disk, and in one place', async () => {
    const { disk } = made(LOGICAL)
    const links = [0, FIRST, FIRST + 10_240, FIRST + 20_480]
    const edit = fc.record({
      lba: fc.constantFrom(...links),
      byte: fc.integer({ min: 446, max: 511 }),
      value: fc.integer({ min: 0, max: 255 }),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 12 }), async (edits) => {
        const sectors = new Map<number, Buffer>()
        const sectorAt = (lba: number) => {
          const found = sectors.get(lba) ?? Buffer.from(disk.subarray(lba * SECTOR, (lba + 1) * SECTOR))
          sectors.set(lba, found)
          return found
        }
        for (const { lba, byte, value } of edits) sectorAt(lba)[byte] = value
        const table = await readMbr(async (lba) => sectorAt(lba), SECTORS).catch((error: unknown) => error)
        if (table instanceof PineError) return
        const { partitions, gapEnd, lastTaken } = table as MbrTable
        const inOrder = [...partitions].sort((one, other) => one.firstLba - other.firstLba)
        for (const [index, { firstLba, lastLba }] of inOrder.entries()) {
          expect(firstLba).toBeGreaterThanOrEqual(gapEnd)
          expect(lastLba).toBeGreaterThanOrEqual(firstLba)
          expect(lastLba).toBeLessThanOrEqual(lastTaken)
          expect(lastTaken).toBeLessThan(SECTORS)
          expect(inOrder[index + 1]?.firstLba ?? SECTORS).toBeGreaterThan(lastLba)
        }
        expect(new Set(partitions.map(({ number }) => number)).size).toBe(partitions.length)
      }),
      { numRuns: 2000 },
    )
  })
})

describe('the sector that points to a GPT', () => {
  const records = (sector: Buffer) => sector.subarray(446, 510).toString('hex')

  test('has the code and the signature that were there, and one record for the disk', () => {
    const { disk } = made('size=10MiB\nsize=10MiB')
    const sector = disk.subarray(0, SECTOR)
    sector.fill(7, 0, 440)
    const after = protectiveSector(sector, SECTORS - 1)
    expect(after.subarray(0, 446).equals(sector.subarray(0, 446))).toBe(true)
    // UEFI 2.10 table 5-4; 0x1ffff sectors.
    expect(records(after)).toBe(`00000200eeffffff01000000ffff0100${'00'.repeat(48)}`)
    expect(after.readUInt16LE(510)).toBe(0xaa55)
    expect(records(protectiveSector(sector, 2 ** 33)).slice(24, 32)).toBe('ffffffff')
  })

  test('is active where one of the old partitions was: some BIOSes start no other disk', () => {
    const { disk } = made('size=10MiB\nsize=10MiB, bootable')
    expect(protectiveSector(disk.subarray(0, SECTOR), SECTORS - 1)[446]).toBe(0x80)
  })
})
