import type { BlockDevice } from '../../src/hijack/block-devices.ts'
import type { BoxFacts, Place } from '../../src/hijack/box-facts.ts'
import type { EfiFacts } from '../../src/hijack/efi-facts.ts'
import type { ImageFacts } from '../../src/hijack/image-facts.ts'
import type { TakeoverJournal } from '../../src/hijack/journal.ts'
import { initialBootState } from '../../src/model/boot-state.ts'
import { ROLES, type Role } from '../../src/model/layout.ts'
import { MIB } from './gpt-disk.ts'

const DISK: BlockDevice = {
  path: '/dev/vda',
  type: 'disk',
  parents: [],
  bytes: 10 * 1024 * MIB,
  sectorBytes: 512,
  fs: '',
  fsUuid: '',
  partUuid: '',
  partType: '',
  table: 'gpt',
  tableId: '2c7a0001-0000-4000-8000-000000000000',
}
const PARTITION: BlockDevice = {
  ...DISK,
  path: '/dev/vda2',
  type: 'part',
  parents: ['/dev/vda'],
  bytes: 10 * 1024 * MIB - 3 * MIB,
  fs: 'ext4',
  fsUuid: '6f1e0002-0000-4000-8000-000000000000',
  table: '',
}

/** The whole disk is one partition, as Debian's installer has it. */
export const ROOT: Place = {
  mount: { at: '/', root: '/', fs: 'ext4', source: '/dev/vda2', isReadOnly: false },
  stack: [PARTITION, DISK],
  partition: {
    path: '/dev/vda2',
    fs: 'ext4',
    disk: '/dev/vda',
    number: 2,
    offset: 2 * MIB,
    bytes: PARTITION.bytes,
  },
}

/** A small Debian server that can be taken over. */
export const GOOD_BOX: BoxFacts = {
  container: '',
  efi: undefined,
  machine: 'x86_64',
  memoryBytes: 512 * MIB,
  root: ROOT,
  boot: ROOT,
  disk: DISK,
  partitions: [
    { path: '/dev/vda1', fs: '', disk: '/dev/vda', number: 1, offset: MIB, bytes: MIB },
    { path: '/dev/vda2', fs: 'ext4', disk: '/dev/vda', number: 2, offset: 2 * MIB, bytes: PARTITION.bytes },
  ],
  twins: [],
  byPartuuid: [],
  grub: { readsCustom: true, missing: [], platform: 'i386-pc', inBootSector: true },
  diskModules: ['virtio_blk', 'virtio_pci'],
  networkModules: ['virtio_net', 'virtio_pci'],
  freeBytes: 4 * 1024 * MIB,
  isOurs: false,
  now: new Date('2026-05-01T00:00:00Z'),
}

/** The same, started by UEFI and Debian's GRUB. */
export const GOOD_UEFI_BOX: BoxFacts & { efi: EfiFacts } = {
  ...GOOD_BOX,
  efi: {
    secureBoot: false,
    wordBits: 64,
    canWriteVariables: true,
    esp: {
      path: '/dev/vda1',
      uuid: '9a4e0001-0000-4000-8000-000000000000',
      at: '/boot/efi',
      bytes: 64 * MIB,
      freeBytes: 50 * MIB,
    },
    loader: 'EFI/debian/grubx64.efi',
    isGrub: true,
  },
  grub: { readsCustom: true, missing: [], platform: 'x86_64-efi', inBootSector: false },
}

export const GOOD_IMAGE: ImageFacts = {
  bytes: 50 * MIB,
  canRehearse: true,
  modules: new Set(['virtio_blk', 'virtio_pci', 'virtio_net', 'efivarfs', 'vfat', 'nls_cp437', 'nls_ascii']),
  machine: 'x86_64',
  hasSudo: false,
}

const MIBS: Record<Role, number> = { bootstate: 1, swap: 8, 'rootfs-a': 16, 'rootfs-b': 16, state: 32 }

/** Staged, with its partitions in a row from 100 MiB on. */
export function journalWith(change: Partial<TakeoverJournal> = {}): TakeoverJournal {
  let at = 100
  const parts = ROLES.map((name, index) => {
    const [offset, bytes] = [at * MIB, MIBS[name] * MIB]
    at += MIBS[name]
    const uuid = `1234abcd-0000-4000-8000-00000000000${index + 3}`
    return { name, offset, bytes, number: index + 3, uuid }
  })
  return {
    format: 1,
    startedAt: '2026-05-01T00:00:00.000Z',
    disk: { path: DISK.path, tableId: DISK.tableId, bytes: DISK.bytes },
    root: { number: 2, offset: 2 * MIB, bytes: PARTITION.bytes, fsUuid: PARTITION.fsUuid },
    file: '/pine-update/carved',
    parts,
    image: { digest: 'd1', bytes: 50 * MIB, fs: 'squashfs', version: '1.0', epoch: 0 },
    compatible: 'test',
    append: '',
    auto: null,
    isStaged: true,
    before: null,
    efi: null,
    ...change,
  }
}

/** As it is after staging: slot a waits for its first trial. */
export const FIRST_BOOT = {
  ...initialBootState('a'),
  slots: {
    a: { confirmed: false, left: 3, generation: 1 },
    b: { confirmed: false, left: 0, generation: 0 },
  },
}
