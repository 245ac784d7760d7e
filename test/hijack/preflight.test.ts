import { describe, expect, test } from 'vitest'
import type { BoxFacts } from '../../src/hijack/box-facts.ts'
import { moduleName } from '../../src/hijack/drivers.ts'
import type { EfiFacts } from '../../src/hijack/efi-facts.ts'
import type { ImageFacts } from '../../src/hijack/image-facts.ts'
import { boxProblems, imageProblems } from '../../src/hijack/preflight.ts'
import { MIB } from './gpt-disk.ts'
import { GOOD_BOX, GOOD_IMAGE, GOOD_UEFI_BOX, ROOT } from './takeover-facts.ts'

const [PARTITION, DISK] = ROOT.stack
if (PARTITION === undefined || DISK === undefined) throw new Error('the root is on nothing')

const MBR = { ...DISK, table: 'dos', tableId: '1a2b3c4d' }
const on = (fs: string) => ({ ...ROOT, mount: { ...ROOT.mount, fs } })
const LVM = {
  mount: { ...ROOT.mount, source: '/dev/mapper/vg-root' },
  stack: [{ ...PARTITION, path: '/dev/mapper/vg-root', type: 'lvm' }, PARTITION, DISK],
  partition: undefined,
}
const BOOT_ON_RAID = {
  mount: { ...ROOT.mount, at: '/boot', source: '/dev/md0' },
  stack: [{ ...PARTITION, path: '/dev/md0', type: 'raid1' }, PARTITION, DISK],
  partition: undefined,
}
const TMPFS = {
  mount: { ...ROOT.mount, fs: 'tmpfs', source: 'overlay' },
  stack: [],
  partition: undefined,
}

test('nothing is against a takeover of a small Debian server', () => {
  expect(boxProblems(GOOD_BOX)).toEqual([])
  expect(imageProblems(GOOD_BOX, GOOD_IMAGE, { needsSudo: false })).toEqual([])
})

test('and of one that UEFI starts, whose boot sector nobody reads', () => {
  expect(boxProblems(GOOD_UEFI_BOX)).toEqual([])
})

test('nor of one with an MBR; a GPT keeps its PARTUUIDs', () => {
  expect(boxProblems({ ...GOOD_BOX, disk: MBR })).toEqual([])
  expect(boxProblems({ ...GOOD_BOX, byPartuuid: ['/etc/fstab'] })).toEqual([])
})

const REFUSED: [string, Partial<BoxFacts>, string][] = [
  ['ours already', { isOurs: true }, 'runs pine-update already'],
  [
    'a root on LVM',
    { root: LVM },
    '/ is on /dev/mapper/vg-root (lvm) on /dev/vda2 (part) on /dev/vda (disk)',
  ],
  ['a root on no device', { root: { ...TMPFS, mount: { ...TMPFS.mount, fs: 'ext4' } } }, '/ is on overlay,'],
  ['btrfs', { root: on('btrfs') }, '/ is btrfs, expected ext4 or xfs'],
  ['an ext3 without extents', { root: on('ext3') }, '/ is ext3'],
  [
    'a table of a Mac',
    { disk: { ...DISK, table: 'mac' } },
    '/dev/vda has a partition table of the kind "mac"',
  ],
  [
    'no table',
    { disk: { ...DISK, table: '' } },
    'of the kind "" with sectors of 512 bytes, expected gpt or dos',
  ],
  ['an MBR of large sectors', { disk: { ...MBR, sectorBytes: 4096 } }, '"dos" with sectors of 4096 bytes'],
  ['an MBR that has no signature', { disk: { ...MBR, tableId: '' } }, 'has no signature'],
  ['an MBR whose signature is zero', { disk: { ...MBR, tableId: '00000000' } }, 'has no signature'],
  [
    'a disk of which there is a copy',
    { twins: ['/dev/vdb'] },
    '/dev/vda and /dev/vdb have the same partition table',
  ],
  [
    'an MBR whose partitions are called by it',
    { disk: MBR, byPartuuid: ['/etc/fstab', 'the command line of the kernel'] },
    '/etc/fstab and the command line of the kernel name partitions of /dev/vda by PARTUUID, which changes',
  ],
  [
    'large sectors',
    { disk: { ...DISK, sectorBytes: 4096 } },
    'with sectors of 4096 bytes, expected gpt or dos and 512',
  ],
  [
    'another loader',
    { grub: { ...GOOD_BOX.grub, inBootSector: false } },
    'boot sector of /dev/vda is not GRUB',
  ],
  [
    'a GRUB that is not asked',
    { grub: { ...GOOD_BOX.grub, readsCustom: false } },
    'does not read custom.cfg',
  ],
  [
    'a GRUB without what the entry needs',
    { grub: { ...GOOD_BOX.grub, missing: ['loopback', 'squash4'] } },
    '/boot/grub/i386-pc has no loopback, squash4',
  ],
  // GRUB can read both, and would find its one-shot again at each start.
  ['/boot on btrfs', { boot: on('btrfs') }, 'on btrfs on part on disk, where GRUB cannot write'],
  ['/boot on a RAID', { boot: BOOT_ON_RAID }, 'on ext4 on raid1 on part on disk, where GRUB cannot write'],
  ['too little memory', { memoryBytes: 96 * MIB }, 'it has 96.0 MiB of memory, 110 MiB are needed'],
]

const { efi } = GOOD_UEFI_BOX
const uefi = (change: Partial<EfiFacts>): Partial<BoxFacts> => ({
  ...GOOD_UEFI_BOX,
  efi: { ...efi, ...change },
})
const { esp } = efi
if (esp === undefined) throw new Error('the good box has no EFI system partition')

const REFUSED_ON_UEFI: [string, Partial<BoxFacts>, string][] = [
  ['one that checks signatures', uefi({ secureBoot: true }), 'Secure Boot is on: our loader is not signed'],
  ['with 32 bits', uefi({ wordBits: 32 }), 'UEFI with 32 bits on x86_64, expected 64 bits'],
  ['of another CPU', { ...GOOD_UEFI_BOX, machine: 'aarch64' }, 'UEFI with 64 bits on aarch64'],
  ['whose variables cannot be written', uefi({ canWriteVariables: false }), 'variables of the firmware'],
  ['with an MBR', { ...GOOD_UEFI_BOX, disk: MBR }, 'UEFI has started it from /dev/vda with an MBR'],
  [
    'with its partition not mounted',
    uefi({ esp: undefined }),
    'no EFI system partition of /dev/vda is mounted',
  ],
  [
    'with a small partition',
    uefi({ esp: { ...esp, bytes: 16 * MIB } }),
    '/dev/vda1 has 16.0 MiB, expected 33.0',
  ],
  [
    'with a full partition',
    uefi({ esp: { ...esp, freeBytes: MIB } }),
    '/boot/efi has 1.0 MiB free, 8.0 MiB are',
  ],
  ['with another loader', uefi({ isGrub: false }), 'EFI/debian/grubx64.efi, is not a GRUB on /dev/vda1'],
  [
    'with a GRUB that has no modules',
    { ...GOOD_UEFI_BOX, grub: { ...GOOD_UEFI_BOX.grub, missing: ['squash4'] } },
    '/boot/grub/x86_64-efi has no squash4',
  ],
]

describe('refused, with the reason and what to do', () => {
  test.each([...REFUSED, ...REFUSED_ON_UEFI])('%s', (_, change, text) => {
    expect(boxProblems({ ...GOOD_BOX, ...change })).toEqual([
      { severity: 'stop', text: expect.stringContaining(text), hint: expect.stringMatching(/\w{3}/) },
    ])
  })

  test('a container is told that it is one, and nothing else', () => {
    const inside = { ...GOOD_BOX, container: 'lxc', memoryBytes: 0, root: TMPFS }
    expect(boxProblems(inside).map(({ text }) => text)).toEqual([
      'this is a container (lxc): it has no kernel, no boot loader and no disk of its own',
    ])
  })

  test('all that is wrong is told at once', () => {
    const worst = { ...GOOD_UEFI_BOX, boot: on('btrfs'), root: on('btrfs'), memoryBytes: 0 }
    expect(boxProblems(worst)).toHaveLength(3)
  })
})

test.each(['ext2', 'ext3', 'ext4', 'xfs', 'vfat'])('GRUB can write to its one-shot on %s', (fs) => {
  expect(boxProblems({ ...GOOD_BOX, boot: on(fs) })).toEqual([])
})

test('a clock that is wrong is only a warning: it can be set later', () => {
  const [problem] = boxProblems({ ...GOOD_BOX, now: new Date(0) })
  expect(problem).toMatchObject({ severity: 'warn', text: 'the clock says 1970-01-01T00:00:00.000Z' })
})

describe('of the image', () => {
  const problemsWith = (change: Partial<ImageFacts>, needsSudo = false): string[] =>
    imageProblems(GOOD_BOX, { ...GOOD_IMAGE, ...change }, { needsSudo }).map(({ text }) => text)

  test('every driver that its kernel lacks is named, and what for', () => {
    expect(problemsWith({ modules: new Set(['virtio_pci']) })).toEqual([
      'the kernel of the image has no virtio_blk, which its disk needs, and no virtio_net, which its network needs',
    ])
    const [none = ''] = problemsWith({ modules: new Set() })
    for (const name of ['virtio_blk', 'virtio_pci', 'virtio_net']) expect(none).toContain(name)
  })

  test('a file of the kernel is the module that the old one names', () => {
    expect(moduleName('kernel/drivers/block/virtio-blk.ko.xz')).toBe('virtio_blk')
    expect(moduleName('kernel/drivers/net/virtio_net.ko')).toBe('virtio_net')
  })

  test('with UEFI its kernel can write to the firmware and to FAT', () => {
    const without = ({ modules }: ImageFacts, name: string) =>
      new Set([...modules].filter((one) => one !== name))
    for (const name of ['efivarfs', 'vfat', 'nls_cp437', 'nls_ascii']) {
      const image = { ...GOOD_IMAGE, modules: without(GOOD_IMAGE, name) }
      const [problem] = imageProblems(GOOD_UEFI_BOX, image, { needsSudo: false })
      expect(problem?.text).toBe(`the kernel of the image has no ${name}, which its firmware needs`)
      expect(imageProblems(GOOD_BOX, image, { needsSudo: false })).toEqual([])
    }
  })

  test('another CPU, or none that is known', () => {
    expect(problemsWith({ machine: 'aarch64' })).toEqual(['the image is for aarch64, this is x86_64'])
    expect(problemsWith({ machine: '' })).toEqual(['the image is for an unknown CPU, this is x86_64'])
  })

  test('one that was prepared before there were rehearsals', () => {
    expect(problemsWith({ canRehearse: false })).toEqual(['the image cannot be rehearsed'])
  })

  test('sudo is needed only where somebody becomes root by it', () => {
    expect(problemsWith({}, true)).toEqual(['whoever logs in becomes root by sudo, which the image has not'])
    expect(problemsWith({ hasSudo: true }, true)).toEqual([])
  })
})
