import { type MbrTable, readMbr } from '../../../src/model/mbr.ts'
import { mutateBytes } from '../bytes.ts'
import { few, type Random } from '../random.ts'
import { accepted, defineTarget, requireThat, type TargetEntry } from '../target.ts'

const SECTOR = 512
const DISK_SECTORS = 1_000_000
const RECORDS = 446
type Record = readonly [type: number, start: number, sectors: number]

function sectorOf(records: readonly Record[]): Buffer {
  const sector = Buffer.alloc(SECTOR)
  for (const [index, [type, start, sectors]] of records.entries()) {
    const at = RECORDS + 16 * index
    sector.writeUInt8(type, at + 4)
    sector.writeUInt32LE(start, at + 8)
    sector.writeUInt32LE(sectors, at + 12)
  }
  sector.writeUInt16LE(0xaa55, 510)
  return sector
}

/** The first sector, then the links of the chain in the order in which they are read. */
const SEEDS = [
  [sectorOf([[0x83, 2048, 900_000]])],
  [
    sectorOf([
      [0x83, 2048, 400_000],
      [0x0f, 500_000, 400_000],
    ]),
    sectorOf([
      [0x82, 2048, 100_000],
      [0x05, 200_000, 150_000],
    ]),
    sectorOf([[0x83, 2048, 100_000]]),
  ],
].map((sectors) => Buffer.concat(sectors))

/** In the records, where it counts; now and then anywhere. */
function mutate(input: Buffer, random: Random, donor: Buffer): Buffer {
  if (random.once(6)) return mutateBytes(input, random, donor)
  const changed = Buffer.from(input)
  for (let left = few(random, 4); left > 0; left--) {
    const sector = random.below(Math.max(1, Math.floor(changed.length / SECTOR)))
    const at = sector * SECTOR + RECORDS + 16 * random.below(4) + random.pick([0, 4, 8, 12])
    const value = random.pick([
      0,
      1,
      5,
      0x0f,
      0x80,
      0x83,
      2048,
      200_000,
      999_999,
      0xffffffff,
      random.below(DISK_SECTORS),
    ])
    if (at + 4 <= changed.length) changed.writeUInt32LE(value, at)
  }
  return changed
}

function requireSafeTable({ partitions, gapEnd, lastTaken }: MbrTable): void {
  const inOrder = [...partitions].sort((one, other) => one.firstLba - other.firstLba)
  for (const [index, { number, firstLba, lastLba }] of inOrder.entries()) {
    requireThat(0 < gapEnd && gapEnd <= firstLba && firstLba <= lastLba, `partition ${number} is in the gap`)
    requireThat(lastLba <= lastTaken && lastTaken < DISK_SECTORS, `partition ${number} leaves the disk`)
    requireThat((inOrder[index + 1]?.firstLba ?? DISK_SECTORS) > lastLba, `partition ${number} is in another`)
  }
  requireThat(new Set(partitions.map(({ number }) => number)).size === partitions.length, 'a number twice')
}

export const mbr: TargetEntry = {
  name: 'mbr',
  weight: 250_000,
  open: () =>
    defineTarget({
      name: 'mbr',
      seeds: SEEDS,
      mutate,
      decode(input) {
        let reads = 0
        const read = async (lba: number): Promise<Buffer> => {
          requireThat(0 <= lba && lba < DISK_SECTORS, `sector ${lba} was asked for`)
          const at = reads++ * SECTOR
          const sector = Buffer.alloc(SECTOR)
          input.copy(sector, 0, at, at + SECTOR)
          return sector
        }
        return readMbr(read, DISK_SECTORS)
      },
      codes: ['LAYOUT_INVALID'],
      verdict(table) {
        requireSafeTable(table)
        return accepted(table.partitions.map(({ number }) => number).join())
      },
    }),
}
