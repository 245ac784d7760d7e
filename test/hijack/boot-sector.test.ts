import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type CoreImage, embedCore, makeCoreImage } from '../../src/boot/grub-core.ts'
import {
  coreInUse,
  isGrubBootSector,
  newBootSector,
  placeForCore,
  type SectorRun,
} from '../../src/hijack/boot-sector.ts'
import { realHost } from '../../src/host/real-host.ts'
import { withoutDevices } from '../faults/devices.ts'
import { openWorkshop, type Workshop } from '../support/cli.ts'
import { installDebianGrub } from './debian-grub.ts'
import { MIB, makeDisk, readAt, SECTOR, writePieces } from './gpt-disk.ts'

let shop: Workshop
let disk: string
let image: CoreImage

const BIOS_BOOT = { offset: MIB, bytes: MIB }
const sectorsOf = (path: string) => async (lba: number, count: number) =>
  readAt(path, lba * SECTOR, count * SECTOR)
const usedOn = (path: string) => coreInUse(readAt(path, 0, SECTOR), sectorsOf(path))

/** Puts GRUB on the disk, as our own images have it. */
function install(path: string, coreLba: number): void {
  const { bootCode, core } = embedCore(image, { coreLba, availableBytes: MIB })
  writePieces(path, [
    { offset: 0, bytes: newBootSector(readAt(path, 0, SECTOR), bootCode) },
    { offset: coreLba * SECTOR, bytes: core },
  ])
}

beforeAll(async () => {
  shop = openWorkshop()
  disk = shop.path('disk')
  makeDisk(disk)
  image = await makeCoreImage(realHost())
  install(disk, 2048)
})
afterAll(() => shop.close())

describe('the sectors of the core in use', () => {
  test('are all of those that were embedded', async () => {
    expect(await usedOn(disk)).toEqual([
      { lba: 2048, sectors: 1 },
      { lba: 2049, sectors: image.core.length / SECTOR - 1 },
    ])
  })

  const reason = withoutDevices()
  test.skipIf(reason !== undefined)(
    'are all of those that Debian\u2019s own grub-bios-setup writes',
    async () => {
      const path = shop.path('debian')
      makeDisk(path)
      const before = readAt(path, 0, 2 * MIB)
      installDebianGrub(path, image, shop.path('grub'))
      const used = await usedOn(path)
      const isWritten = (lba: number) =>
        !readAt(path, lba * SECTOR, SECTOR).equals(before.subarray(lba * SECTOR, (lba + 1) * SECTOR))
      const written = Array.from({ length: 2048 }, (_, index) => 2048 + index).filter(isWritten)
      const inUse = used.flatMap(({ lba, sectors }) =>
        Array.from({ length: sectors }, (_, index) => lba + index),
      )
      expect(written.filter((lba) => !inUse.includes(lba))).toEqual([])
      // Twice the core: it adds what mends the core when sectors go bad.
      expect(inUse.length).toBeGreaterThan((1.9 * image.core.length) / SECTOR)
      expect(inUse.filter((lba) => !written.includes(lba)).length).toBeLessThan(8)
    },
  )

  /** What is found where the first sector of the core has that list. */
  const listOf = (runs: readonly SectorRun[], change = (_: Buffer) => {}) => {
    const boot = readAt(disk, 0, SECTOR)
    const core = Buffer.from(image.core.subarray(0, SECTOR))
    for (const [index, { lba, sectors }] of runs.entries()) {
      core.writeBigUInt64LE(BigInt(lba), 0x1f4 - 12 * index)
      core.writeUInt16LE(sectors, 0x1fc - 12 * index)
    }
    change(boot)
    return coreInUse(boot, async () => core)
  }
  const runs = (count: number) =>
    Array.from({ length: count }, (_, index) => ({ lba: 100 + 10 * index, sectors: index + 1 }))

  test.each([1, 2, 14])('also in %i pieces', async (count) => {
    expect(await listOf(runs(count))).toEqual([{ lba: 2048, sectors: 1 }, ...runs(count)])
  })

  test('also beyond 2 TiB', async () => {
    const far = [{ lba: 2 ** 33, sectors: 0xffff }]
    const found = listOf(far, (boot) => boot.writeBigUInt64LE(2n ** 34n, 0x5c))
    expect(await found).toEqual([{ lba: 2 ** 34, sectors: 1 }, ...far])
  })

  test.each<[string, () => Promise<unknown>, string]>([
    ['a list without an end', () => listOf(runs(15)), 'has 15 elements'],
    ['an empty list', () => listOf([{ lba: 2049, sectors: 0 }]), 'has 0 elements'],
    ['a list with the boot sector in it', () => listOf([{ lba: 0, sectors: 4 }]), 'names sector 0'],
    [
      'a list that leaves the disk',
      () => listOf([{ lba: 2 ** 48, sectors: 4 }]),
      'names sector 281474976710656',
    ],
    ['a core in the boot sector', () => listOf(runs(1), (boot) => boot.fill(0, 0x5c, 0x64)), 'in sector 0'],
    [
      'a core on another disk',
      () => listOf(runs(1), (boot) => boot.fill(0x80, 0x64, 0x65)),
      'from another disk',
    ],
    ['another loader', () => listOf(runs(1), (boot) => boot.fill(0, 0, 440)), 'is not that of GRUB'],
  ])('%s is refused', async (_, act, problem) => {
    await expect(act()).rejects.toMatchObject({
      code: 'TAKEOVER_REFUSED',
      message: expect.stringContaining(problem),
    })
  })
})

describe('a boot sector of GRUB', () => {
  const edited = (edit: (sector: Buffer) => void) => {
    const sector = readAt(disk, 0, SECTOR)
    edit(sector)
    return isGrubBootSector(sector)
  }

  test('is told from others', () => {
    expect(edited(() => {})).toBe(true)
    expect(isGrubBootSector(image.boot)).toBe(true)
    expect(isGrubBootSector(Buffer.alloc(SECTOR))).toBe(false)
    expect(isGrubBootSector(readAt(disk, 0, SECTOR - 1))).toBe(false)
    expect(edited((sector) => sector.fill(0, 510))).toBe(false)
    // GRUB 0.97 jumps elsewhere.
    expect(edited((sector) => sector.writeUInt16BE(0xeb48, 0))).toBe(false)
    expect(edited((sector) => sector.writeUInt16LE(0x2000, 0x5a))).toBe(false)
    expect(edited((sector) => sector.write('LILO ', sector.indexOf('GRUB ')))).toBe(false)
  })

  test('gets new code in one piece; disk signature and partition table stay', () => {
    const old = readAt(disk, 0, SECTOR)
    const sector = newBootSector(old, Buffer.alloc(440, 7))
    expect(sector.length).toBe(512)
    expect(sector.subarray(440).equals(old.subarray(440))).toBe(true)
    expect(sector.subarray(0, 440).equals(Buffer.alloc(440, 7))).toBe(true)
    expect(() => newBootSector(old.subarray(1), Buffer.alloc(440))).toThrow('of 511 bytes')
    expect(() => newBootSector(old, Buffer.alloc(446))).toThrow('code of 446')
  })
})

describe('a place for a second core', () => {
  test('is beside the first, which is still whole then', async () => {
    const path = shop.path('second')
    makeDisk(path)
    install(path, 2048)
    const used = await usedOn(path)
    const place = placeForCore({ biosBoot: BIOS_BOOT, used, coreBytes: image.core.length })
    expect(place).toBe(Math.ceil((2048 + image.core.length / SECTOR) / 8) * 8)
    const [old, first] = [readAt(path, 0, SECTOR), readAt(path, MIB, image.core.length)]
    install(path, place ?? 0)
    expect(readAt(path, MIB, image.core.length).equals(first)).toBe(true)
    expect((await usedOn(path))[0]).toEqual({ lba: place, sectors: 1 })
    // The way back is the old sector.
    writePieces(path, [{ offset: 0, bytes: old }])
    expect(await usedOn(path)).toEqual(used)
  })

  const place = (coreSectors: number, used: SectorRun[], from = 2048, sectors = 100) =>
    placeForCore({
      biosBoot: { offset: from * SECTOR, bytes: sectors * SECTOR },
      used,
      coreBytes: coreSectors * SECTOR - 1,
    })

  test.each<[string, number | undefined, number | undefined]>([
    ['nothing in use', place(100, []), 2048],
    ['nothing in use, too small', place(101, []), undefined],
    ['behind', place(10, [{ lba: 2048, sectors: 33 }]), 2088],
    ['before', place(30, [{ lba: 2080, sectors: 65 }]), 2048],
    [
      'between',
      place(30, [
        { lba: 2048, sectors: 10 },
        { lba: 2100, sectors: 48 },
      ]),
      2064,
    ],
    [
      'between, without room to align',
      place(40, [
        { lba: 2048, sectors: 10 },
        { lba: 2098, sectors: 50 },
      ]),
      2058,
    ],
    [
      'no room at all',
      place(41, [
        { lba: 2048, sectors: 10 },
        { lba: 2098, sectors: 50 },
      ]),
      undefined,
    ],
    ['up to the last sector', place(93, [{ lba: 2048, sectors: 7 }]), 2055],
    [
      'used elsewhere',
      place(100, [
        { lba: 1, sectors: 2047 },
        { lba: 9000, sectors: 9 },
      ]),
      2048,
    ],
    ['used from before its start', place(92, [{ lba: 2000, sectors: 56 }]), 2056],
    ['a partition at an odd sector', place(2000, [], 34, 2014), 40],
    ['a partition at an odd sector, full', place(2014, [], 34, 2014), 34],
  ])('%s', (_, found, expected) => expect(found).toBe(expected))

  test('is in the partition and in nothing that is used; found where there is one', () => {
    const run = fc.record({
      lba: fc.integer({ min: 30, max: 140 }),
      sectors: fc.integer({ min: 1, max: 30 }),
    })
    fc.assert(
      fc.property(fc.array(run, { maxLength: 5 }), fc.integer({ min: 1, max: 60 }), (used, sectors) => {
        const found = place(sectors, used, 34, 100)
        const isFree = (lba: number) =>
          lba >= 34 &&
          lba + sectors <= 134 &&
          used.every((each) => lba + sectors <= each.lba || each.lba + each.sectors <= lba)
        const free = Array.from({ length: 134 }, (_, lba) => lba).filter(isFree)
        expect(found !== undefined).toBe(free.length > 0)
        if (found === undefined) return
        expect(free).toContain(found)
        expect(found % 8 === 0).toBe(free.some((lba) => lba % 8 === 0))
      }),
      { numRuns: 2000 },
    )
  })
})
