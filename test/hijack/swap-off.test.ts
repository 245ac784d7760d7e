import { expect, test } from 'vitest'
import { partOf } from '../../src/hijack/content.ts'
import { stopSwapping } from '../../src/hijack/swap-off.ts'
import type { Host } from '../../src/host/host.ts'
import { realHost } from '../../src/host/real-host.ts'
import { journalWith } from './takeover-facts.ts'

const journal = journalWith()
const SECTOR = 512
const START = partOf(journal, 'swap').offset / SECTOR
const HEADER = 'Filename\t\t\t\tType\t\tSize\tUsed\tPriority\n'

/** Returns what was switched off. */
async function stoppedOn(files: Readonly<Record<string, string>>): Promise<string[]> {
  const stopped: string[] = []
  const host: Host = {
    ...realHost(),
    readFile: async (path) => (files[path] === undefined ? undefined : Buffer.from(files[path])),
    exec: async (command, args) => {
      stopped.push([command, ...args].join(' '))
      return ''
    },
  }
  await stopSwapping(host, journal)
  return stopped
}

const swaps = (...devices: string[]) => ({
  '/proc/swaps': HEADER + devices.map((device) => `${device} partition 32764 0 -2\n`).join(''),
})

test('swap of the new system, which systemd of the old one has found, is switched off', async () => {
  const files = {
    ...swaps('/dev/vda1', '/dev/vda6', '/swapfile'),
    '/sys/class/block/vda/vda6/start': `${START}\n`,
  }
  expect(await stoppedOn({ ...files, '/sys/class/block/vda/vda1/start': '2048\n' })).toEqual([
    'swapoff /dev/vda6',
  ])
})

test.each<[string, Record<string, string>]>([
  ['where there is none', { '/proc/swaps': HEADER }],
  ['where the kernel has none', {}],
  [
    'at the same place of another disk',
    { ...swaps('/dev/vdb6'), '/sys/class/block/vdb/vdb6/start': `${START}` },
  ],
  ['that is a file', swaps('/swapfile')],
])('other swap stays: %s', async (_, files) => {
  expect(await stoppedOn(files)).toEqual([])
})
