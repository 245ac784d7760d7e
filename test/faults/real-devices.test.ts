import { execFileSync } from 'node:child_process'
import { readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { realHost } from '../../src/host/real-host.ts'
import { makeBundle, makeHost, openWorkshop, slotContent, type Workshop } from '../support/cli.ts'
import { type Devices, openDevices, withoutDevices } from './devices.ts'
import { type LiveMachine, liveMachine } from './live-host.ts'
import { expectClear } from './story.ts'

const MiB = 1024 * 1024
const reason = withoutDevices()
if (reason !== undefined) console.log(`skipped, ${reason}: errors that the kernel makes`)

let shop: Workshop
let devices: Devices
let machine: LiveMachine

beforeEach(async () => {
  shop = openWorkshop()
  await makeHost(shop)
  devices = openDevices()
  machine = await liveMachine(shop)
  Object.assign(shop.host, machine.host)
})
afterEach(() => {
  devices.close()
  shop.close()
})

const CONFIG = '--config @host.toml'

function holds(file: string, version: string): boolean {
  const image = readFileSync(shop.path(`${version}.img`))
  return readFileSync(file).subarray(0, image.length).equals(image)
}

async function nextBoot(): Promise<string> {
  return (await shop.ok(`status --json ${CONFIG}`)).json().nextBoot
}

describe.skipIf(reason !== undefined)('errors that the kernel makes', () => {
  test('a slot that cannot be read from its second MiB on: an apply writes there, and is done', async () => {
    await makeBundle(shop, '2.0', { from: '1.0' })
    const file = shop.path('slot-b')
    writeFileSync(file, slotContent(shop, 'b'))
    machine.places['rootfs-b'] = devices.attach(file, { direct: true })
    // Behind the end of its file a loop device without a cache has no sectors to read, until they are written.
    truncateSync(file, MiB)
    await expect(readWhole(machine.places['rootfs-b'])).rejects.toThrow('EIO')
    await shop.ok(`apply @2.0.bundle ${CONFIG}`)
    expect(await nextBoot()).toBe('b')
    expect(holds(file, '2.0')).toBe(true)
  })

  test('a running slot that cannot be read: a delta is refused, the full bundle is taken', async () => {
    await makeBundle(shop, '2.0', { from: '1.0' })
    const file = shop.path('slot-a')
    writeFileSync(file, slotContent(shop, 'a'))
    machine.places['rootfs-a'] = devices.attach(file, { direct: true })
    truncateSync(file, MiB)
    const refused = await shop.pine(`apply @2.0.bundle ${CONFIG}`)
    expectClear(refused, 'IO_FAILED')
    expect(refused.stderr).toContain('full bundle')
    expect(slotContent(shop, 'b').every((byte) => byte === 0)).toBe(true)
    await makeBundle(shop, '2.0')
    await shop.ok(`apply @2.0.bundle ${CONFIG}`)
    expect(await nextBoot()).toBe('b')
  })

  test('a slot that loses what it was given when it is flushed: told, not armed; the next try does not believe the cache', async () => {
    await makeBundle(shop, '2.0', { from: '1.0' })
    // The file of the device has room for 1 MiB: what is written behind that is taken, and lost later.
    const folder = devices.memory(shop.path('small'), 'size=4m')
    const file = `${folder}/slot-b`
    writeFileSync(file, '')
    truncateSync(file, 4 * MiB)
    writeFileSync(`${folder}/other`, Buffer.alloc(3 * MiB))
    const device = devices.attach(file)
    machine.places['rootfs-b'] = device
    // Somebody looks at it, such as a monitor of disks: the kernel then keeps what it has in memory between the two.
    const other = await shop.host.openRegion(device)
    const failed = await shop.pine(`apply @2.0.bundle ${CONFIG}`)
    expectClear(failed, 'IO_FAILED')
    expect(await nextBoot()).toBe('a')
    rmSync(`${folder}/other`)
    await shop.ok(`apply @2.0.bundle ${CONFIG}`)
    await other.close()
    expect(await nextBoot()).toBe('b')
    expect(holds(device, '2.0')).toBe(true)
  })

  test('a state partition that became read-only: told before anything is written', async () => {
    await makeBundle(shop, '2.0')
    const folder = devices.memory(shop.path('var'), 'size=64k')
    const { replaceFile } = shop.host
    shop.host.replaceFile = (path, ...rest) =>
      replaceFile(path.startsWith('/var/') ? `${folder}/probe` : path, ...rest)
    devices.remount(folder, 'ro')
    const before = readFileSync(shop.path('host.img'))
    expectClear(await shop.pine(`apply @2.0.bundle ${CONFIG}`), 'STATE_READ_ONLY')
    expect(readFileSync(shop.path('host.img')).equals(before)).toBe(true)
    const unhealthy = await shop.pine(`health ${CONFIG}`)
    expect(unhealthy).toMatchObject({ exit: 4, stdout: expect.stringMatching(/FAILED {2}state .*EROFS/) })
    devices.remount(folder, 'rw')
    await shop.ok(`health ${CONFIG}`)
    await shop.ok(`apply @2.0.bundle ${CONFIG}`)
  })

  test('a state partition without room: told before anything is written', async () => {
    await makeBundle(shop, '2.0')
    const folder = devices.memory(shop.path('var'), 'size=20m')
    shop.host.freeBytes = () => realHost().freeBytes(folder)
    writeFileSync(`${folder}/large`, Buffer.alloc(10 * MiB))
    const before = readFileSync(shop.path('host.img'))
    const refused = await shop.pine(`apply @2.0.bundle ${CONFIG}`)
    expectClear(refused, 'STATE_FULL')
    expect(refused.stderr).toContain(String(10 * MiB))
    expect(readFileSync(shop.path('host.img')).equals(before)).toBe(true)
    rmSync(`${folder}/large`)
    await shop.ok(`apply @2.0.bundle ${CONFIG}`)
  })

  test('a file whose inode has another checksum than ext4 wrote: the advice is to check the file system', async () => {
    const file = shop.path('damaged')
    execFileSync('truncate', ['-s', '16M', file])
    execFileSync('mkfs.ext4', ['-q', '-O', 'metadata_csum', file])
    writeFileSync(shop.path('config.toml'), '')
    for (const request of [
      `write ${shop.path('config.toml')} config.toml`,
      'set_inode_field config.toml checksum 1',
    ])
      execFileSync('debugfs', ['-w', '-R', request, file], { stdio: 'ignore' })
    const folder = devices.ext4(shop.path('damaged.mounted'), file)
    const read = realHost().readFile(join(folder, 'config.toml'))
    await expect(read).rejects.toMatchObject({
      code: 'IO_FAILED',
      hint: expect.stringContaining('with fsck'),
    })
  })
})

async function readWhole(device: string): Promise<void> {
  const region = await shop.host.openRegion(device)
  try {
    await region.read(Buffer.alloc(region.bytes), 0)
  } finally {
    await region.close()
  }
}
