import { expect, test } from 'vitest'
import { PineError } from '../../src/core/error.ts'
import { readBoxFacts } from '../../src/hijack/box-facts.ts'
import type { Host } from '../../src/host/host.ts'
import { realHost } from '../../src/host/real-host.ts'
import { openMemoryRegion } from '../support/memory-region.ts'

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

const DISK = {
  blockdevices: [
    { path: '/dev/vda', type: 'disk', size: 1024 ** 3, 'log-sec': 512, pttype: 'dos', ptuuid: '1A2B3C4D' },
    {
      ...{ path: '/dev/vda1', pkname: '/dev/vda', type: 'part', size: 1024 ** 2, 'log-sec': 512 },
      ...{ fstype: 'ext4', pttype: 'dos', ptuuid: '1a2b3c4d' },
    },
  ],
}
const FILES = {
  '/proc/self/mountinfo': '1 0 252:1 / / rw - ext4 /dev/vda1 rw\n',
  '/sys/class/block/vda1/partition': '1\n',
  '/sys/class/block/vda1/start': '2048\n',
}

function withDisks(files: Record<string, string>, more: object[] = []): Host {
  const box = machine({ ...FILES, ...files })
  const listed = { blockdevices: [...DISK.blockdevices, ...more] }
  const exec: Host['exec'] = async (command, args) =>
    command === 'lsblk' ? JSON.stringify(listed) : box.exec(command, args)
  const openRegion: Host['openRegion'] = async () => openMemoryRegion(Buffer.alloc(512))
  return { ...box, exec, openRegion }
}

test('what the device mapper made of a partition is known by its name, though that is a link', async () => {
  const volume = {
    path: '/dev/mapper/vg-root',
    pkname: '/dev/vda1',
    type: 'lvm',
    size: 1024 ** 2,
    'log-sec': 512,
  }
  const mounted = { '/proc/self/mountinfo': '1 0 253:0 / / rw - ext4 /dev/mapper/vg-root rw\n' }
  const box = withDisks(mounted, [volume])
  const { root } = await readBoxFacts({ ...box, realPath: async () => '/dev/dm-0' })
  expect(root.stack.map(({ type }) => type)).toEqual(['lvm', 'part', 'disk'])
  expect(root.partition).toBeUndefined()
})

test('a disk that is a copy of that of the root is known by its table', async () => {
  const other = { path: '/dev/vdb', type: 'disk', size: 1024 ** 3, 'log-sec': 512, pttype: 'dos' }
  const copy = withDisks({}, [
    { ...other, ptuuid: '1a2b3c4d' },
    { ...other, path: '/dev/vdc', ptuuid: '99999999' },
  ])
  expect((await readBoxFacts(copy)).twins).toEqual(['/dev/vdb'])
  expect((await readBoxFacts(withDisks({}))).twins).toEqual([])
})

test.each<[string, Record<string, string>, string[]]>([
  ['nothing does', { '/etc/fstab': 'UUID=1 / ext4 defaults 0 1\n', '/proc/cmdline': 'root=UUID=1 ro' }, []],
  ['a comment does', { '/etc/fstab': '  # PARTUUID=1a2b3c4d-01 / ext4\nUUID=1 / ext4\n' }, []],
  ['it is another disk', { '/etc/fstab': 'PARTUUID=99999999-01 /srv ext4\n' }, []],
  ['its fstab does', { '/etc/fstab': 'PARTUUID=1A2B3C4D-01 / ext4 defaults 0 1\n' }, ['/etc/fstab']],
  [
    'its fstab does by a link',
    { '/etc/fstab': '/dev/disk/by-partuuid/1a2b3c4d-05 none swap\n' },
    ['/etc/fstab'],
  ],
  ['its crypttab does', { '/etc/crypttab': 'x PARTUUID=1a2b3c4d-02 none luks\n' }, ['/etc/crypttab']],
  [
    'its loader does',
    { '/proc/cmdline': 'root=PARTUUID=1a2b3c4d-01 ro' },
    ['the command line of the kernel'],
  ],
])('what names partitions by the signature of the table, where %s', async (_, files, expected) => {
  const facts = await readBoxFacts(withDisks(files))
  expect(facts.disk?.tableId).toBe('1a2b3c4d')
  expect(facts.byPartuuid).toEqual(expected)
})
