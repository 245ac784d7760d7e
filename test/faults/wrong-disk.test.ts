import { execFileSync } from 'node:child_process'
import { truncateSync } from 'node:fs'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { ErrorCode } from '../../src/core/error.ts'
import { realHost } from '../../src/host/real-host.ts'
import { makeBundle, makeHost, ON_DISK, openWorkshop, type Workshop } from '../support/cli.ts'
import { cmdlineOf, DISK, devicesOf, type LiveMachine, liveMachine } from './live-host.ts'
import { diskDigest, expectClear, keepDisk } from './story.ts'

let shop: Workshop
let fresh: ReturnType<typeof keepDisk>

beforeAll(async () => {
  shop = openWorkshop()
  await makeHost(shop)
  await makeBundle(shop, '2.0', { from: '1.0' })
  fresh = keepDisk(shop, 'fresh.img')
})
beforeEach(() => {
  fresh.restore()
  Object.assign(shop.host, realHost())
})
afterAll(() => shop.close())

async function expectRefused(line: string, code: ErrorCode): Promise<string> {
  const before = diskDigest(shop)
  const ran = await shop.pine(line)
  expectClear(ran, code)
  expect(diskDigest(shop)).toBe(before)
  return ran.stderr
}

/** Changes the partition table of host.img, as somebody with sfdisk would. */
function sfdisk(args: readonly string[], input?: string): void {
  execFileSync('sfdisk', ['--quiet', '--no-tell-kernel', ...args], { input, stdio: ['pipe', 'pipe', 'pipe'] })
}

/** The same table with other lines. */
function layOut(change: (line: string) => string): void {
  const image = shop.path('host.img')
  const script = execFileSync('sfdisk', ['--dump', image], { encoding: 'utf8' })
  sfdisk(['--wipe', 'never', image], script.split('\n').map(change).join('\n'))
}

describe('a disk image whose partitions are not as they should be', () => {
  const sized = (number: number, sectors: number) => (line: string) =>
    line.includes(`host.img${number} :`) ? line.replace(/size= *\d+/, `size= ${sectors}`) : line

  test.each<[string, () => void, ErrorCode]>([
    ['a slot is gone', () => sfdisk(['--delete', shop.path('host.img'), '5']), 'LAYOUT_INVALID'],
    [
      'a slot has lost its name',
      () => sfdisk(['--part-label', shop.path('host.img'), '5', 'old']),
      'LAYOUT_INVALID',
    ],
    [
      'two slots have one name',
      () => sfdisk(['--part-label', shop.path('host.img'), '5', 'rootfs-a']),
      'LAYOUT_INVALID',
    ],
    ['one slot is smaller than the other', () => layOut(sized(5, 4096)), 'LAYOUT_INVALID'],
    [
      'both slots are smaller than the image',
      () => layOut((line) => sized(4, 4096)(sized(5, 4096)(line))),
      'IMAGE_TOO_BIG',
    ],
    ['the boot state has too little room', () => layOut(sized(2, 1024)), 'LAYOUT_INVALID'],
    [
      'the file is shorter than its table',
      () => truncateSync(shop.path('host.img'), 10 * 1024 * 1024),
      'LAYOUT_INVALID',
    ],
  ])('%s: refused before anything is written; put right, it works', async (_what, harm, code) => {
    harm()
    const said = await expectRefused(`apply @2.0.bundle ${ON_DISK}`, code)
    expect(said).toMatch(/\d|rootfs|shorter/)
    fresh.restore()
    await shop.ok(`apply @2.0.bundle ${ON_DISK}`)
    expect(await shop.boot()).toBe('b')
  })
})

describe('a machine with more than one disk', () => {
  let machine: LiveMachine
  const COMMANDS = ['apply @2.0.bundle', 'confirm', 'reject', 'rollback', 'health --boot', 'status']

  beforeEach(async () => {
    machine = await liveMachine(shop)
    Object.assign(shop.host, machine.host)
  })

  test.each(COMMANDS)(
    'of which one is a copy of the other: "%s" names both, and writes to neither',
    async (command) => {
      const alone = machine.devices
      machine.devices = [...alone, ...devicesOf(machine.layout, '/dev/sdb')]
      const said = await expectRefused(`${command} --config @host.toml`, 'DISK_AMBIGUOUS')
      expect(said).toMatch(/\/dev\/vda\d and \/dev\/sdb\d/)
      machine.devices = alone
      expect((await shop.pine(`status --config @host.toml`)).exit).toBe(0)
    },
  )

  test('of which one has a copy of nothing but the boot state: refused as well', async () => {
    const [copy] = devicesOf(machine.layout, '/dev/sdb').filter(
      ({ partuuid }) => partuuid === machine.layout.partitions.bootstate.uuid,
    )
    if (copy) machine.devices = [...machine.devices, copy]
    await expectRefused('apply @2.0.bundle --config @host.toml', 'DISK_AMBIGUOUS')
  })

  test('where the boot state is on another disk than the root: refused', async () => {
    const { uuid } = machine.layout.partitions.bootstate
    machine.devices = machine.devices.map((device) =>
      device.partuuid === uuid ? { ...device, name: '/dev/sdb2', pkname: '/dev/sdb' } : device,
    )
    const said = await expectRefused('apply @2.0.bundle --config @host.toml', 'LAYOUT_INVALID')
    expect(said).toContain('/dev/sdb2')
  })

  test('other disks, and a device under several others, do not matter', async () => {
    const other = { name: '/dev/sdb1', pkname: '/dev/sdb', partuuid: 'AAAA', size: 1 }
    machine.devices = [...machine.devices, ...machine.devices, other]
    await shop.ok('apply @2.0.bundle --config @host.toml')
  })
})

describe('a machine whose disk is not the one the loader used', () => {
  let machine: LiveMachine

  beforeEach(async () => {
    machine = await liveMachine(shop)
    Object.assign(shop.host, machine.host)
  })

  test.each<[string, (machine: LiveMachine) => string]>([
    ['it has written its state more often', ({ layout }) => cmdlineOf(layout, 'a', 3)],
    ['it started another slot than this state says', ({ layout }) => cmdlineOf(layout, 'b', 1)],
    ['it found no state', ({ layout }) => cmdlineOf(layout, 'a', 1, 'none')],
    ['it says nothing of its state', ({ layout }) => cmdlineOf(layout, 'a', 1).replace(/pine.seq=\d+/, '')],
  ])('%s: an update is refused, and status says so', async (_what, cmdline) => {
    machine.cmdline = cmdline(machine)
    await expectRefused('apply @2.0.bundle --config @host.toml', 'BOOT_STATE_UNSEEN')
    const seen = await shop.pine('status --config @host.toml')
    expect(seen.stdout).toContain('did not read this boot state')
    machine.cmdline = cmdlineOf(machine.layout, 'a', 2)
    await shop.ok('apply @2.0.bundle --config @host.toml')
  })

  test('it is not our loader at all', async () => {
    machine.cmdline = 'BOOT_IMAGE=/boot/vmlinuz root=UUID=1234 ro quiet'
    await expectRefused('apply @2.0.bundle --config @host.toml', 'NOT_A_PINE_DISK')
  })

  test('no device has the ids of its partitions', async () => {
    machine.devices = []
    const said = await expectRefused('apply @2.0.bundle --config @host.toml', 'NOT_A_PINE_DISK')
    expect(said).toContain('udev')
  })

  test('a partition was made smaller, and the kernel does not know yet', async () => {
    machine.devices = machine.devices.map((device) =>
      device.name === `${DISK}5` ? { ...device, size: device.size / 2 } : device,
    )
    const said = await expectRefused('apply @2.0.bundle --config @host.toml', 'LAYOUT_INVALID')
    expect(said).toContain('restart the machine')
  })
})
