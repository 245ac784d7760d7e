import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { BlockDevice } from '../../src/hijack/block-devices.ts'
import { type AroundEfi, type EfiFacts, readEfiFacts } from '../../src/hijack/efi-facts.ts'
import type { Host } from '../../src/host/host.ts'
import { realHost } from '../../src/host/real-host.ts'
import { encodeLoadOption } from '../../src/model/load-option.ts'
import { ROOT } from './takeover-facts.ts'

const GLOBAL = '8be4df61-93ca-11d2-aa0d-00e098032b8c'
const ESP_TYPE = 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b'
const GUID = '9a4e0001-1234-4000-8abc-0123456789ab'
const OTHER = '9a4e0002-1234-4000-8abc-0123456789ab'
const UUID = '6f1e0002-0000-4000-8000-000000000000'
const GRUB = 'MZ\0grub_errno\0'

/** The machine below a folder: its firmware and its partition, as plain files. */
let top: string
beforeEach(() => {
  top = mkdtempSync(join(tmpdir(), 'pine-efi-'))
  put('sys/firmware/efi/fw_platform_size', '64\n')
  started(GUID, 'EFI/debian/shimx64.efi')
})
afterEach(() => rmSync(top, { recursive: true }))

function put(path: string, content: string | Uint8Array): void {
  mkdirSync(dirname(join(top, path)), { recursive: true })
  writeFileSync(join(top, path), content)
}

const variable = (name: string, value: Uint8Array) =>
  put(`sys/firmware/efi/efivars/${name}-${GLOBAL}`, Buffer.concat([Buffer.from([7, 0, 0, 0]), value]))

function started(guid: string, path: string): void {
  const place = { number: 1, firstLba: 2048, sectors: 70_000, guid }
  variable('BootCurrent', Buffer.from([4, 0]))
  variable('Boot0004', encodeLoadOption('debian', place, path))
}

/** As Debian has it where shim checks signatures: its GRUB asks a file for the place of its configuration. */
function withShim(): void {
  put('boot/efi/EFI/debian/shimx64.efi', 'MZ shim')
  put('boot/efi/EFI/debian/grubx64.efi', GRUB)
  put('boot/efi/EFI/debian/grub.cfg', `search.fs_uuid ${UUID} root\nset prefix=($root)'/boot/grub'\n`)
}

const [PARTITION, DISK] = ROOT.stack
if (PARTITION === undefined || DISK === undefined) throw new Error('the root is on nothing')
const esp = { ...PARTITION, path: '/dev/vda1', partUuid: GUID, partType: ESP_TYPE, bytes: 1000 }
const second = { ...esp, path: '/dev/vda9', partUuid: OTHER }
const BOOT = ROOT.partition && { ...ROOT.partition, number: 3 }
const MOUNT = { at: '/boot/efi', root: '/', fs: 'vfat', source: '/dev/vda1', isReadOnly: false }
const EFIVARS = {
  at: '/sys/firmware/efi/efivars',
  root: '/',
  fs: 'efivarfs',
  source: 'efivarfs',
  isReadOnly: false,
}

function facts(change: Partial<AroundEfi> = {}): Promise<EfiFacts> {
  const real = realHost()
  const at = (path: string) => join(top, path)
  const host: Host = {
    ...real,
    readFile: (path) => real.readFile(at(path)),
    listFolder: (path) => real.listFolder(at(path)),
    kindOf: (path) => real.kindOf(at(path)),
    realPath: async (path) => path,
    freeBytes: async () => 500,
  }
  const all: BlockDevice[] = [esp, second, PARTITION as BlockDevice, DISK as BlockDevice]
  const devices = new Map(all.map((device) => [device.path, device]))
  return readEfiFacts(host, {
    devices,
    mounts: [ROOT.mount, MOUNT, EFIVARS],
    disk: '/dev/vda',
    boot: ROOT,
    ...change,
  })
}

test('Debian, whose shim starts its GRUB', async () => {
  withShim()
  expect(await facts()).toEqual({
    secureBoot: false,
    wordBits: 64,
    canWriteVariables: true,
    esp: { path: '/dev/vda1', uuid: GUID, at: '/boot/efi', bytes: 1000, freeBytes: 500 },
    loader: 'EFI/debian/shimx64.efi',
    isGrub: true,
  })
})

test('a GRUB without shim has the place of its configuration inside', async () => {
  started(GUID, 'EFI/debian/grubx64.efi')
  put('boot/efi/EFI/debian/grubx64.efi', `${GRUB}search.fs_uuid ${UUID} root`)
  expect((await facts()).isGrub).toBe(true)
})

/** Debian's own grub-install without shim, as it is on the disk. */
const PREFIX = '(,gpt2)/boot/grub\0'

test.each<[string, string, AroundEfi['boot']]>([
  ['in the root', PREFIX, ROOT],
  [
    'in a /boot of its own',
    '(,gpt3)/grub\0',
    { ...ROOT, mount: { ...ROOT.mount, at: '/boot' }, partition: BOOT },
  ],
])('or its place on the disk, %s', async (_, prefix, boot) => {
  started(GUID, 'EFI/debian/grubx64.efi')
  put('boot/efi/EFI/debian/grubx64.efi', GRUB + prefix)
  expect((await facts({ boot })).isGrub).toBe(true)
  put('boot/efi/EFI/debian/grubx64.efi', `${GRUB}(,gpt5)/boot/grub\0(,gpt2)/boot/grub2\0`)
  expect((await facts({ boot })).isGrub).toBe(false)
})

test.each<[string, () => void]>([
  [
    'firmware that names no file',
    () => variable('Boot0004', Buffer.from('01000000040055000000' + '7fff0400', 'hex')),
  ],
  [
    'firmware that does not say what it started',
    () => rmSync(join(top, `sys/firmware/efi/efivars/BootCurrent-${GLOBAL}`)),
  ],
])('%s has taken the file that has its own place', async (_, change) => {
  change()
  put('boot/efi/EFI/BOOT/BOOTX64.EFI', 'MZ shim')
  put('boot/efi/EFI/BOOT/grubx64.efi', GRUB)
  put('boot/efi/EFI/debian/grub.cfg', `search.fs_uuid ${UUID} root`)
  expect(await facts()).toMatchObject({ loader: 'EFI/BOOT/BOOTX64.EFI', isGrub: true })
})

test.each<[string, () => void]>([
  ['another loader', () => put('boot/efi/EFI/debian/shimx64.efi', 'MZ systemd-boot')],
  [
    'a GRUB of another system',
    () => {
      withShim()
      put('boot/efi/EFI/debian/grub.cfg', 'search.fs_uuid 11111111-2222 root')
    },
  ],
  ['a file that is gone', () => put('boot/efi/EFI/debian/grubx64.efi', `${GRUB}${UUID}`)],
  [
    'a file of another partition',
    () => {
      withShim()
      started(OTHER, 'EFI/debian/shimx64.efi')
    },
  ],
])('%s is not taken for the GRUB of this system', async (_, change) => {
  change()
  expect((await facts()).isGrub).toBe(false)
})

test('of two partitions it is the one that the machine was started from', async () => {
  const other = { ...MOUNT, at: '/efi', source: '/dev/vda9' }
  const mounts = [ROOT.mount, other, MOUNT, EFIVARS]
  expect((await facts({ mounts })).esp?.path).toBe('/dev/vda1')
  started(OTHER, 'EFI/debian/shimx64.efi')
  expect((await facts({ mounts })).esp?.path).toBe('/dev/vda9')
})

test.each<[string, Partial<AroundEfi>]>([
  ['not mounted', { mounts: [ROOT.mount, EFIVARS] }],
  ['read-only', { mounts: [ROOT.mount, { ...MOUNT, isReadOnly: true }, EFIVARS] }],
  ['a folder of it mounted', { mounts: [ROOT.mount, { ...MOUNT, root: '/EFI' }, EFIVARS] }],
  ['on another disk', { disk: '/dev/vdb' }],
  ['of another type', { devices: new Map([['/dev/vda1', { ...esp, partType: 'linux' }]]) }],
])('a partition that is %s is none', async (_, change) => {
  expect((await facts(change)).esp).toBeUndefined()
})

test('variables can be written where efivarfs is mounted so', async () => {
  const without = await facts({ mounts: [ROOT.mount, MOUNT] })
  const readOnly = await facts({ mounts: [ROOT.mount, MOUNT, { ...EFIVARS, isReadOnly: true }] })
  expect([without.canWriteVariables, readOnly.canWriteVariables]).toEqual([false, false])
})

test('what the firmware says of itself', async () => {
  variable('SecureBoot', Buffer.from([1]))
  put('sys/firmware/efi/fw_platform_size', '32\n')
  expect(await facts()).toMatchObject({ secureBoot: true, wordBits: 32 })
  rmSync(join(top, 'sys/firmware/efi/fw_platform_size'))
  expect((await facts()).wordBits).toBe(0)
})
