import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { AREA, type AreaName } from '../../src/boot/bootstate-area.ts'
import { makeBundle, makeHost, ON_DISK, openWorkshop, type Workshop } from '../support/cli.ts'
import { badSectors, breakFiles, type Fault } from './broken-files.ts'
import {
  BOOTSTATE_AT,
  diskDigest,
  expectClear,
  expectIntact,
  expectNextTryWorks,
  keepDisk,
  SLOT_AT,
  statusOf,
  versionIn,
} from './story.ts'

let shop: Workshop
let fresh: ReturnType<typeof keepDisk>
let repair = (): void => undefined

beforeAll(async () => {
  shop = openWorkshop()
  await makeHost(shop)
  await makeBundle(shop, '2.0', { from: '1.0', more: '--full' })
  await makeBundle(shop, '2.0', { more: '--out @full.bundle' })
  fresh = keepDisk(shop, 'fresh.img')
})
beforeEach(() => fresh.restore())
afterEach(() => repair())
afterAll(() => shop.close())

async function breakDisk(fault: Fault): Promise<void> {
  repair = await breakFiles(fault)
}

function badDisk(start: number, bytes = 512): ReturnType<typeof badSectors> {
  return badSectors(shop.path('host.img'), start, start + bytes)
}

describe('bad sectors in the slot that does not run', () => {
  test.each([
    ['at its start', [0]],
    ['in the middle of a chunk', [1_500_000]],
    ['in every chunk', [4096, 1_100_000, 2_100_000]],
  ])('%s: they are written anew, which mends them', async (_where, places) => {
    const bad = places.map((at) => badDisk(SLOT_AT.b + at))
    await breakDisk((call) => bad.map((fault) => fault(call)).find((verdict) => verdict !== undefined))
    await expectNextTryWorks(shop)
    expect(bad.map(({ isMended }) => isMended())).toEqual(places.map(() => true))
  })

  test('that do not mend: what was written cannot be read back, and the slot is not armed', async () => {
    const path = shop.path('host.img')
    await breakDisk((call) => {
      const reaches = call.position + call.bytes > SLOT_AT.b && call.position < SLOT_AT.b + 512
      if (call.path === path && call.kind === 'read' && reaches)
        badSectors(path, SLOT_AT.b, SLOT_AT.b + 512)(call)
      return undefined
    })
    const ran = await shop.pine(`apply @2.0.bundle ${ON_DISK}`)
    expectClear(ran, 'IO_FAILED')
    expect(ran.stderr).toContain('smartctl')
    repair()
    await expectIntact(shop)
    await expectNextTryWorks(shop)
  })
})

describe('a disk that takes writes and does not keep them', () => {
  const lost = (start: number, bytes: number): Fault => {
    const path = shop.path('host.img')
    return ({ kind, path: at, position }) =>
      kind === 'write' && at === path && position >= start && position < start + bytes ? 'lost' : undefined
  }

  test('in the slot: found when it is read back, not armed', async () => {
    await breakDisk(lost(SLOT_AT.b + 1024 * 1024, 512))
    expectClear(await shop.pine(`apply @2.0.bundle ${ON_DISK}`), 'IMAGE_MISMATCH')
    repair()
    await expectIntact(shop)
    await expectNextTryWorks(shop)
  })

  test.each(['env0', 'env1'] as const)('in %s: found before the slot is written', async (name) => {
    await breakDisk(lost(BOOTSTATE_AT + AREA[name].offset, AREA[name].bytes))
    const ran = await shop.pine(`apply @2.0.bundle ${ON_DISK}`)
    expectClear(ran, 'IO_FAILED')
    expect(ran.stderr).toContain(`${name} of`)
    repair()
    expect(versionIn(shop, 'b')).toBeUndefined()
    await expectIntact(shop)
    await expectNextTryWorks(shop)
    expect(await statusOf(shop)).toMatchObject({ problems: [] })
  })
})

describe('a bad sector in the slot that runs', () => {
  test('stops a delta before anything is written, and says that a full bundle needs nothing from there', async () => {
    const before = diskDigest(shop)
    await breakDisk(badDisk(SLOT_AT.a + 1_500_000))
    const ran = await shop.pine(`apply @2.0.bundle ${ON_DISK}`)
    repair()
    expectClear(ran, 'IO_FAILED')
    expect(ran.stderr).toContain('slot a, which runs')
    expect(ran.stderr).toContain('take the full bundle')
    expect(diskDigest(shop)).toBe(before)
  })

  test('does not concern the full bundle', async () => {
    await breakDisk(badDisk(SLOT_AT.a + 1_500_000))
    await shop.ok(`apply @full.bundle ${ON_DISK}`)
    repair()
    expect(await shop.boot()).toBe('b')
  })
})

describe('a bad sector in the boot state partition', () => {
  const members: readonly AreaName[] = ['env0', 'env1', 'meta0', 'meta1', 'log']

  test.each(members)('under %s: the other copy counts, and the next write mends it', async (name) => {
    const bad = badDisk(BOOTSTATE_AT + AREA[name].offset)
    await breakDisk(bad)
    expect(await statusOf(shop)).toMatchObject({ nextBoot: 'a', trial: null })
    expect(bad.isMended()).toBe(false)
    await expectNextTryWorks(shop)
    await shop.ok(`confirm ${ON_DISK}`)
    expect(await statusOf(shop)).toMatchObject({ nextBoot: 'b', trial: null })
    if (name !== 'log') expect(bad.isMended()).toBe(true)
  })

  test('under both copies of the boot state is told, and nothing is guessed', async () => {
    await breakDisk(badDisk(BOOTSTATE_AT + AREA.env0.offset, 8192))
    expectClear(await shop.pine(`apply @2.0.bundle ${ON_DISK}`), 'BOOT_STATE_INVALID')
  })
})
