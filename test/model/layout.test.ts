import { readdirSync, readFileSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { readTable, writeTable } from '../../src/host/sfdisk.ts'
import { BOOTSTATE_BYTES, parseLayout } from '../../src/model/layout.ts'
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
    ['a missing role', tableOf((entries) => entries.slice(1)), 'no partition is named bios-boot'],
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
  ])('with %s is refused', (_, json, message) => {
    expect(() => parseLayout(json, 'disk')).toThrow(message)
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
