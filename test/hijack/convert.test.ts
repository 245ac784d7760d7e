import { execFileSync } from 'node:child_process'
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type CoreImage, embedCore, makeCoreImage } from '../../src/boot/grub-core.ts'
import { coreInUse, movedCore, newBootSector } from '../../src/hijack/boot-sector.ts'
import { planConversion } from '../../src/hijack/convert.ts'
import { numbersFor } from '../../src/hijack/numbers.ts'
import type { Flip } from '../../src/hijack/table-change.ts'
import { realHost } from '../../src/host/real-host.ts'
import type { GptPiece } from '../../src/model/gpt.ts'
import { withoutDevices } from '../faults/devices.ts'
import { openWorkshop, type Workshop } from '../support/cli.ts'
import { memoryRegion } from '../support/memory-region.ts'
import { debianCore, installDebianGrub } from './debian-grub.ts'
import { carvedEntries, MIB, makeDisk, readAt, SECTOR, sfdiskTable, writePieces } from './gpt-disk.ts'

const SECTORS = (128 * MIB) / SECTOR
/** One partition, as in an image of a cloud. */
const ONE = 'label: dos\nstart=1MiB, size=100MiB'
const ROOT = { number: 1, offset: MIB, bytes: 100 * MIB }
const PARTS = carvedEntries().map(({ name, number, uniqueGuid, firstLba, lastLba }) => ({
  ...{ name: name as 'swap', number, uuid: uniqueGuid },
  ...{ offset: firstLba * SECTOR, bytes: (lastLba + 1 - firstLba) * SECTOR },
}))

let shop: Workshop
let image: CoreImage
let made = 0

beforeAll(async () => {
  shop = openWorkshop()
  image = await makeCoreImage(realHost())
})
afterAll(() => shop.close())

/** A disk with that table, and GRUB from that sector on. */
function diskWith(script: string, coreLba = 1): string {
  const path = shop.path(`disk-${++made}`)
  makeDisk(path, script)
  const { bootCode, core } = embedCore(image, { coreLba, availableBytes: MIB })
  const { length } = core
  writePieces(path, [
    { offset: 0, bytes: newBootSector(readAt(path, 0, SECTOR), bootCode) },
    { offset: coreLba * SECTOR, bytes: core.subarray(0, length) },
  ])
  return path
}

function plan(path: string, request: Parameters<typeof planConversion>[2] = { parts: [] }): Promise<Flip[]> {
  return planConversion(memoryRegion(readFileSync(path)), image, request)
}

const runsIn = (disk: Buffer) =>
  coreInUse(disk.subarray(0, SECTOR), async (lba, count) =>
    disk.subarray(lba * SECTOR, (lba + count) * SECTOR),
  )

/** What a disk is after some of it. */
function written(path: string, pieces: readonly GptPiece[]): Buffer {
  const disk = readFileSync(path)
  for (const { offset, bytes } of pieces) bytes.copy(disk, offset)
  return disk
}

/** Without the addresses in its list. */
async function loaded(disk: Buffer): Promise<Buffer> {
  const runs = await runsIn(disk)
  const core = Buffer.concat(
    runs.map(({ lba, sectors }) => disk.subarray(lba * SECTOR, (lba + sectors) * SECTOR)),
  )
  for (const index of runs.keys()) if (index > 0) core.fill(0, 512 - 12 * index, 520 - 12 * index)
  return core
}

describe('the way from an MBR to a GPT', () => {
  const reason = withoutDevices()
  test.skipIf(reason !== undefined)(
    'moves what Debian\u2019s own grub-bios-setup wrote, all of it',
    async () => {
      const path = shop.path('debian')
      makeDisk(path, ONE)
      const core = debianCore(shop.path('core'))
      installDebianGrub(path, core, shop.path('grub'))
      const before = readFileSync(path)
      const used = await runsIn(before)
      expect(used[0]?.lba).toBe(1)
      // It adds as much again, to mend the core with.
      const sectors = used.reduce((total, run) => total + run.sectors, 0)
      expect(sectors).toBeGreaterThan((1.9 * core.core.length) / SECTOR)
      const [move, convert] = await plan(path, { parts: PARTS, root: ROOT })
      if (move === undefined || convert === undefined) throw new Error('it has one flip')
      const { prepare, flip } = move
      // Nothing that is in use, nothing of a partition.
      for (const { offset, bytes } of prepare) {
        expect(offset).toBeGreaterThanOrEqual(72 * SECTOR)
        expect(offset + bytes.length).toBeLessThanOrEqual(MIB)
        for (const { lba, sectors } of used)
          expect(offset >= (lba + sectors) * SECTOR || offset + bytes.length <= lba * SECTOR).toBe(true)
      }
      const after = written(path, [...prepare, flip])
      expect((await loaded(after)).equals(await loaded(before))).toBe(true)
      // It is whole when the GPT is where it was.
      const later = written(path, [...prepare, flip, ...convert.prepare])
      expect((await loaded(later)).equals(await loaded(before))).toBe(true)
      const code = (disk: Buffer) => Buffer.concat([disk.subarray(0, 0x5c), disk.subarray(0x64, SECTOR)])
      expect(code(flip.bytes).equals(code(before))).toBe(true)
      expect(convert.flip.bytes.subarray(440, 446).equals(before.subarray(440, 446))).toBe(true)
    },
  )

  test('comes to a table that sfdisk finds nothing wrong with', async () => {
    const path = diskWith(`${ONE}, type=82\nstart=101MiB, size=20MiB, type=8e`)
    const flips = await plan(path)
    writeFileSync(
      `${path}.gpt`,
      written(
        path,
        flips.flatMap(({ prepare, flip }) => [...prepare, flip]),
      ),
    )
    expect(execFileSync('sfdisk', ['--verify', `${path}.gpt`], { encoding: 'utf8' })).toContain('No errors')
    const found = sfdiskTable(`${path}.gpt`).partitions
    expect(found.map(({ type, name, start, attrs }) => [type, name ?? '', start, attrs])).toEqual([
      // No system turns on what it was not told to.
      ['0657FD6D-A4AB-43C4-84E5-0933C84B4F4F', '', 2048, 'GUID:63'],
      ['E6D6D379-F507-44C2-A23C-238F2A3DF928', '', 101 * 2048, 'GUID:63'],
      ['21686148-6449-6E6F-744E-656564454649', 'bios-boot', 72, undefined],
    ])
    expect(new Set(found.map(({ uuid }) => uuid)).size).toBe(3)
  })

  test('is the same each time for the same takeover, and another for another one', async () => {
    const path = diskWith(ONE)
    const bytes = (flips: Flip[]) =>
      flips.flatMap(({ prepare, flip }) => [...prepare, flip].map((piece) => piece.bytes))
    const first = bytes(await plan(path, { parts: PARTS }))
    expect(bytes(await plan(path, { parts: PARTS }))).toEqual(first)
    const others = PARTS.map((part) => ({ ...part, uuid: part.uuid.replace(/^1234/, '5678') }))
    const uuids = async (parts: typeof PARTS) => {
      const flips = await plan(path, { parts })
      writeFileSync(
        `${path}.gpt`,
        written(
          path,
          flips.flatMap(({ prepare, flip }) => [...prepare, flip]),
        ),
      )
      const { id, partitions } = sfdiskTable(`${path}.gpt`)
      return [id, ...partitions.map(({ uuid }) => uuid)]
    }
    const [one, other] = [await uuids(PARTS), await uuids(others)]
    expect(one.filter((uuid) => other.includes(uuid))).toEqual([])
  })

  test('leaves a GRUB where it is that is in nobody\u2019s way', async () => {
    const path = diskWith(ONE, 72)
    const before = readFileSync(path)
    const flips = await plan(path)
    expect(flips).toHaveLength(1)
    const prepared = written(path, flips[0]?.prepare ?? [])
    expect((await loaded(prepared)).equals(await loaded(before))).toBe(true)
    expect(await plan(diskWith(ONE, 71))).toHaveLength(2)
  })

  test('needs room for three cores, and says how much that is', async () => {
    const tight = (start: number) => diskWith(`label: dos\nstart=${start}, size=50MiB`)
    const size = 3 * (image.core.length / SECTOR)
    const refused: unknown = await plan(tight(size)).catch((error: unknown) => error)
    const needed = Number(/expected (\d+) or later/.exec(String(refused))?.[1])
    expect(refused).toMatchObject({
      code: 'TAKEOVER_REFUSED',
      message: `the first partition begins at sector ${size}, expected ${needed} or later: before it there have to be a GPT and two loaders`,
    })
    expect(needed - size).toBeLessThan(16)
    expect(await plan(tight(needed))).toHaveLength(2)
  })
})

const END = SECTORS - 34
const MANY = Array.from({ length: 10 }, (_, index) => `start=${index * 10_240 + 6144}, size=8192`).join('\n')

const REFUSED: [string, () => Promise<unknown>, string][] = [
  [
    'a partition in the last sectors of the disk',
    () => plan(diskWith(`label: dos\nstart=2048, size=${END - 2048 + 2}`)),
    `the last partition ends at sector ${END + 1}, expected ${END} or before`,
  ],
  [
    'a partition right behind the first sector, as in the days of DOS',
    () => plan(diskWith('label: dos\nstart=63, size=50MiB')),
    'begins at sector 63, expected 72',
  ],
  [
    'GRUB in a partition',
    () => plan(diskWith(ONE, 4096)),
    'GRUB is in sector 4096 and 0 more, expected all of it before the first partition, at 2048',
  ],
  [
    'a root that the kernel has elsewhere',
    () => plan(diskWith(ONE), { parts: [], root: { ...ROOT, bytes: ROOT.bytes + SECTOR } }),
    'partition 1 with / is at',
  ],
  [
    'a root that the table has not',
    () => plan(diskWith(ONE), { parts: [], root: { ...ROOT, number: 5 } }),
    'partition 5 with / is not in the table',
  ],
  [
    'more partitions than our loader looks at',
    () => numbersFor(realHost(), diskWith(`label: dos\nstart=2048, size=120MiB, type=5\n${MANY}`), 6),
    'has too many partitions: 6 more are needed',
  ],
]

describe('an MBR stays what it is', () => {
  test.each(REFUSED)('with %s', async (_, act, text) => {
    await expect(act()).rejects.toMatchObject({
      code: 'TAKEOVER_REFUSED',
      message: expect.stringContaining(text),
    })
  })

  test('up to the last sector that a GPT leaves is no reason', async () => {
    expect(await plan(diskWith(`label: dos\nstart=2048, size=${END - 2048 + 1}`))).toHaveLength(2)
  })

  test('and five numbers can be had beside ten partitions', async () => {
    const path = diskWith(`label: dos\nstart=2048, size=120MiB, type=5\n${MANY}`)
    copyFileSync(path, `${path}.copy`)
    // The extended one is none; 1 is for the loaders.
    expect(await numbersFor(realHost(), path, 5)).toEqual([2, 3, 4, 15, 16])
    expect(readFileSync(path).equals(readFileSync(`${path}.copy`))).toBe(true)
  })
})

test('a core in several pieces is put into one, each element of its list for its piece', () => {
  const core = Buffer.alloc(6 * SECTOR, 1)
  core.fill(0, 440, SECTOR)
  const boot = Buffer.alloc(SECTOR, 2)
  const runs = [
    { lba: 1, sectors: 1 },
    { lba: 2, sectors: 3 },
    { lba: 9, sectors: 2 },
  ]
  const moved = movedCore(boot, { runs, core }, 100)
  expect(moved.bootSector.readBigUInt64LE(0x5c)).toBe(100n)
  expect([moved.core.readBigUInt64LE(0x1f4), moved.core.readBigUInt64LE(0x1e8)]).toEqual([101n, 104n])
  expect(moved.core.subarray(SECTOR).equals(core.subarray(SECTOR))).toBe(true)
  expect(() => movedCore(boot, { runs, core: core.subarray(SECTOR) }, 100)).toThrow('a core of 2560 bytes')
})
