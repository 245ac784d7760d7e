import { readdirSync, readFileSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { readTable, writeTable } from '../../src/host/sfdisk.ts'
import { BOOTSTATE_BYTES, LOADER_ROLES, parseLayout } from '../../src/model/layout.ts'
import { openWorkshop, type Workshop } from '../support/cli.ts'

let shop: Workshop

beforeEach(() => {
  shop = openWorkshop()
})
afterEach(() => shop.close())

const FOLDER = join(import.meta.dirname, '../../layouts')
const SIZES: Record<string, number> = {
  'gpt-bios.sfdisk': 4 * 1024 ** 3,
  'gpt-bios-tiny.sfdisk': 512 * 1024 ** 2,
  'gpt-bios-uefi.sfdisk': 4 * 1024 ** 3,
  'gpt-uefi.sfdisk': 4 * 1024 ** 3,
}

describe('the layouts we ship', () => {
  test.each(readdirSync(FOLDER).filter((name) => name.endsWith('.sfdisk')))('%s', async (name) => {
    const disk = shop.path('disk')
    await shop.host.createSparse(disk, SIZES[name] ?? 0)
    await writeTable(shop.host, disk, readFileSync(join(FOLDER, name), 'utf8'))
    const { partitions } = parseLayout(await readTable(shop.host, disk), name)
    expect(partitions['rootfs-a'].bytes).toBe(partitions['rootfs-b'].bytes)
    expect(partitions.bootstate.bytes).toBe(BOOTSTATE_BYTES)
    for (const { offset } of Object.values(partitions)) expect(offset % (1024 * 1024)).toBe(0)
  })
})

test('a disk that was cut off is told from one with an old table', async () => {
  const disk = shop.path('disk')
  await shop.host.createSparse(disk, 4 * 1024 ** 3)
  await writeTable(shop.host, disk, readFileSync(join(FOLDER, 'gpt-bios.sfdisk'), 'utf8'))
  truncateSync(disk, 1024 ** 3)
  const table = await readTable(shop.host, disk)
  expect(() => parseLayout(table, 'disk')).toThrow('the disk is shorter than its table')
})

interface Entry {
  node: string
  start: number
  size: number
  type: string
  uuid: string
  name: string
}

const ROWS: [string, number][] = [
  ['bios-boot', 2048],
  ['bootstate', 2048],
  ['swap', 2048],
  ['rootfs-a', 8192],
  ['rootfs-b', 8192],
  ['state', 8192],
]

function tableOf(change: (entries: Entry[]) => Entry[], label = 'gpt'): string {
  const entries = ROWS.map(([name, size], index) => {
    const number = index + 1
    return {
      node: `/dev/nvme0n1p${number}`,
      start: number * 8192,
      size,
      type: 'X',
      uuid: `AB-${number}`,
      name,
    }
  })
  return JSON.stringify({ partitiontable: { label, sectorsize: 512, partitions: change(entries) } })
}

describe('a partition table', () => {
  test('gives each role its place, the number from the name of the node, bytes from sectors', () => {
    const { partitions } = parseLayout(
      tableOf((entries) => entries),
      'disk',
    )
    expect(partitions['rootfs-b']).toEqual({
      role: 'rootfs-b',
      number: 5,
      offset: 5 * 8192 * 512,
      bytes: 8192 * 512,
      uuid: 'ab-5',
    })
  })

  test.each<[string, string, string]>([
    ['another label', tableOf((entries) => entries, 'dos'), 'its label is dos'],
    ['a missing role', tableOf((entries) => entries.slice(1)), 'no partition is named bios-boot or esp'],
    [
      'a role twice',
      tableOf((entries) => [...entries, ...entries.slice(-1)]),
      'more than one partition is named state',
    ],
    [
      'slots of two sizes',
      tableOf((entries) =>
        entries.map((entry) => (entry.name === 'rootfs-b' ? { ...entry, size: 9000 } : entry)),
      ),
      'both slots must be the same size',
    ],
    [
      'a small bootstate',
      tableOf((entries) =>
        entries.map((entry) => (entry.name === 'bootstate' ? { ...entry, size: 100 } : entry)),
      ),
      'bootstate has 51200 bytes',
    ],
    [
      'a slot that reaches into the other',
      tableOf((entries) =>
        entries.map((entry) => (entry.name.startsWith('rootfs') ? { ...entry, size: 8193 } : entry)),
      ),
      '/dev/nvme0n1p4 and /dev/nvme0n1p5 overlap',
    ],
    [
      'one PARTUUID for both slots',
      tableOf((entries) =>
        entries.map((entry) => (entry.name.startsWith('rootfs') ? { ...entry, uuid: 'AB-4' } : entry)),
      ),
      'rootfs-a and rootfs-b have the same PARTUUID',
    ],
    [
      'a slot without a PARTUUID',
      tableOf((entries) =>
        entries.map((entry) => (entry.name === 'rootfs-a' ? { ...entry, uuid: '' } : entry)),
      ),
      'rootfs-a has no PARTUUID',
    ],
    ['text that is no JSON', '{"partitiontable":', 'sfdisk printed something else'],
  ])('with %s is refused', (_, json, message) => {
    expect(() => parseLayout(json, 'disk')).toThrow(message)
  })

  const ESP = { name: 'esp', size: 67_584, type: 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b' }
  const withEsp = (edit: Partial<Entry>, from = 1) =>
    tableOf((entries) => [
      ...entries.slice(from),
      { node: '/dev/nvme0n1p7', start: 7 * 8192, uuid: 'AB-7', ...ESP, ...edit },
    ])

  test.each<[string, string, string[]]>([
    ['bios-boot boots with BIOS', tableOf((entries) => entries), ['bios-boot']],
    ['esp boots with UEFI', withEsp({}), ['esp']],
    ['both boots either way', withEsp({}, 0), ['bios-boot', 'esp']],
  ])('with %s', (_, json, loaders) => {
    const found: string[] = Object.keys(parseLayout(json, 'disk').partitions)
    expect(LOADER_ROLES.filter((role) => found.includes(role))).toEqual(loaders)
  })

  test.each<[string, Partial<Entry>, string]>([
    ['that firmware would not look at', { type: 'X' }, 'esp has the type X, expected C12A7328'],
    ['with no room for FAT32', { size: 67_583 }, 'esp has 34602496 bytes, 34603008 are needed'],
  ])('with an esp %s is refused', (_, edit, message) => {
    expect(() => parseLayout(withEsp(edit), 'disk')).toThrow(message)
  })

  test('with several faults names them all', () => {
    expect(() =>
      parseLayout(
        tableOf(() => []),
        'disk',
      ),
    ).toThrow(/bios-boot.*bootstate.*swap.*state/)
  })
})

describe('during a takeover', () => {
  const OLD = { node: '/dev/nvme0n1p9', start: 16_000, size: 41_344, type: 'X', uuid: 'AB-9', name: '' }
  const holding = (edit: Partial<Entry>, change = (entries: Entry[]) => entries) =>
    tableOf((entries) => change([...entries, { ...OLD, ...edit }]))

  test.each<[string, string]>([
    ['all but the loader', holding({})],
    ['one of them, up to its last sector', holding({ start: 24_575, size: 2049 })],
  ])('the partition of the old system holds ours: %s', (_, json) => {
    const { start, size } = JSON.parse(json).partitiontable.partitions.at(-1)
    const layout = parseLayout(json, 'disk')
    expect(layout.old).toEqual({ number: 9, offset: start * 512, bytes: size * 512, uuid: 'ab-9' })
    expect(layout.partitions.state.number).toBe(6)
  })

  test('one that holds none of ours is not the old system', () => {
    expect(parseLayout(holding({ start: 60_000 }), 'disk')).not.toHaveProperty('old')
  })

  const inner: Entry = { ...OLD, node: '/dev/nvme0n1p10', start: 20_000, size: 100, uuid: 'AB-10' }
  test.each<[string, string, string]>([
    ['that ends in one of ours', holding({ size: 41_343 }), '/dev/nvme0n1p9 and /dev/nvme0n1p6 overlap'],
    ['that begins in one of ours', holding({ start: 16_385 }), '/dev/nvme0n1p9 and /dev/nvme0n1p2 overlap'],
    [
      'that begins where one of ours does',
      holding({ start: 16_384 }),
      'nvme0n1p9 and /dev/nvme0n1p2 overlap',
    ],
    ['that holds the loader', holding({ start: 2048, size: 60_000 }), 'nvme0n1p9 and /dev/nvme0n1p1 overlap'],
    [
      'that holds a stranger too',
      holding({}, (entries) => [...entries, inner]),
      '/dev/nvme0n1p9 and /dev/nvme0n1p10 overlap',
    ],
    [
      'that another one holds',
      holding({}, (entries) => [...entries, { ...inner, start: 15_000, size: 50_000 }]),
      'are in /dev/nvme0n1p9 and in /dev/nvme0n1p10',
    ],
    [
      'beside which another one holds some of ours',
      holding({ size: 30_000 }, (entries) => [...entries, { ...inner, start: 47_000, size: 20_000 }]),
      'are in /dev/nvme0n1p9 and in /dev/nvme0n1p10',
    ],
    [
      'in which two of ours overlap',
      holding({}, (entries) =>
        entries.map((entry) => (entry.name === 'swap' ? { ...entry, size: 8193 } : entry)),
      ),
      '/dev/nvme0n1p3 and /dev/nvme0n1p4 overlap',
    ],
    ['that is one of ours', holding({ name: 'swap' }), 'more than one partition is named swap'],
    [
      'with the PARTUUID of one of ours',
      holding({ uuid: 'AB-4' }),
      'rootfs-a and the old system have the same',
    ],
    ['without a PARTUUID', holding({ uuid: '' }), 'the old system has no PARTUUID'],
    ['without a number', holding({ node: '/dev/nvme0n1p' }), '/dev/nvme0n1p has no place on the disk'],
  ])('one %s is refused', (_, json, problem) => {
    expect(() => parseLayout(json, 'disk')).toThrow(problem)
  })

  test('ours may not hold one another', () => {
    const json = tableOf((entries) =>
      entries.map((entry) => (entry.name === 'swap' ? { ...entry, size: 30_000 } : entry)),
    )
    expect(() => parseLayout(json, 'disk')).toThrow('/dev/nvme0n1p3 and /dev/nvme0n1p4 overlap')
  })
})
