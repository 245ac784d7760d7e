import { expect, test } from 'vitest'
import { PineError } from '../../src/core/error.ts'
import { readBoxFacts } from '../../src/hijack/box-facts.ts'
import type { Host } from '../../src/host/host.ts'
import { realHost } from '../../src/host/real-host.ts'

/** A machine of a few files and nothing else. */
function machine(files: Readonly<Record<string, string | Error>>): Host {
  const texts: typeof files = { '/proc/self/mountinfo': '1 0 0:1 / / rw - ext4 /dev/root rw\n', ...files }
  return {
    ...realHost(),
    exec: async (command) => (command === 'lsblk' ? '{"blockdevices":[]}' : 'x86_64\n'),
    readFile: async (path) => {
      const text = texts[path]
      if (text instanceof Error) throw text
      return text === undefined ? undefined : Buffer.from(text)
    },
    listFolder: async () => [],
    kindOf: async (path) => (path in texts ? 'file' : undefined),
    realPath: async (path) => path,
    freeBytes: async () => 0,
  }
}

test.each([
  ['nothing says so', {}, ''],
  ['systemd says so', { '/run/systemd/container': 'lxc\n' }, 'lxc'],
  ['its environment says so', { '/proc/1/environ': 'PATH=/bin\0container=docker\0' }, 'docker'],
  ['its environment is not for us', { '/proc/1/environ': new PineError('IO_FAILED', 'not permitted') }, ''],
  ['it has the half of OpenVZ that guests see', { '/proc/vz': '' }, 'openvz'],
  ['it is a host of OpenVZ', { '/proc/vz': '', '/proc/bc': '' }, ''],
])('what a machine runs in, where %s', async (_, files, container) => {
  expect((await readBoxFacts(machine(files))).container).toBe(container)
})

test('a machine of ours is known by what its loader told the kernel', async () => {
  const ours = machine({ '/proc/cmdline': 'root=PARTUUID=1 pine.slot=a\n' })
  const old = machine({ '/proc/cmdline': 'root=UUID=2 pine.slot=r\n' })
  expect([(await readBoxFacts(ours)).isOurs, (await readBoxFacts(old)).isOurs]).toEqual([true, false])
})

test('memory is what the machine has, not what its kernel leaves; whoever is not root sees only that', async () => {
  const meminfo = 'MemTotal:          92160 kB\n'
  const iomem =
    '00001000-0009fbff : System RAM\n00100000-07ffffff : System RAM\n  01000000-01ffffff : Kernel code\n'
  const hidden = '00000000-00000000 : System RAM\n00000000-00000000 : System RAM\n'
  const seen = { '/proc/meminfo': meminfo, '/proc/iomem': iomem }
  expect((await readBoxFacts(machine(seen))).memoryBytes).toBe(0x9ec00 + 127 * 1024 ** 2)
  expect((await readBoxFacts(machine({ ...seen, '/proc/iomem': hidden }))).memoryBytes).toBe(90 * 1024 ** 2)
})
