import { execFileSync } from 'node:child_process'
import {
  copyFileSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { makeBundle, makeHost, noise, ON_DISK, openWorkshop, type Workshop } from '../support/cli.ts'
import { type Devices, openDevices, withoutDevices } from './devices.ts'
import { expectClear, expectIntact, expectNextTryWorks } from './story.ts'

const KiB = 1024
const reason = withoutDevices()
if (reason !== undefined) console.log(`skipped, ${reason}: file systems that are full or read-only`)

let shop: Workshop
let devices: Devices
/** A small file system. */
let small: string
const { TMPDIR } = process.env

beforeEach(async () => {
  shop = openWorkshop()
  await makeHost(shop)
  devices = openDevices()
  if (reason === undefined) small = devices.memory(shop.path('small'), 'size=48m')
})
afterEach(() => {
  if (TMPDIR === undefined) delete process.env.TMPDIR
  else process.env.TMPDIR = TMPDIR
  devices.close()
  shop.close()
})

/** Leaves so many bytes; more are free again without the file `filler`. */
function fillUp(leave = 0): void {
  const { bavail, bsize } = statfs()
  writeFileSync(join(small, 'filler'), Buffer.alloc(bavail * bsize - leave))
}

function statfs(): { bavail: number; bsize: number } {
  const [bavail = 0, bsize = 0] = execFileSync('stat', ['-f', '-c', '%a %S', small], { encoding: 'utf8' })
    .split(' ')
    .map(Number)
  return { bavail, bsize }
}

function makeRoom(): void {
  rmSync(join(small, 'filler'))
}

const left = (): string[] => readdirSync(small).filter((name) => name !== 'filler')

const DISK = '--layout @layout.sfdisk --size 32M --image @1.0.img --compatible test --release 1.0'
const BUNDLE = '--from @1.0.img --to @2.0.img --release 2.0 --compatible test --key @keys/ci.key'

/** What makes a file, and whether it says itself that there is no room, or a program that it runs does. */
const MAKERS = [
  ['bundle create', `bundle create ${BUNDLE} --out @small/2.0.bundle`, 'IO_FAILED'],
  ['disk build', `disk build ${DISK} --out @small/web.img`, 'IO_FAILED'],
  ['image build', 'image build --tree @tree-2.0 --out @small/2.0.img', 'TOOL_FAILED'],
  ['image build --fs ext4', 'image build --tree @tree-2.0 --fs ext4 --out @small/2.0.img', 'TOOL_FAILED'],
  ['image build --fs erofs', 'image build --tree @tree-2.0 --fs erofs --out @small/2.0.img', 'TOOL_FAILED'],
  ['key generate', 'key generate --out @small/ci', 'IO_FAILED'],
  [
    'keys create',
    'keys create --root @keys/ci.pub --release @keys/ci.pub --out @small/fleet.keys',
    'IO_FAILED',
  ],
] as const

describe.skipIf(reason !== undefined)('a file system without room', () => {
  test.each(MAKERS)('for %s: told, nothing is left, and with room it works', async (_name, line, code) => {
    fillUp()
    const ran = await shop.pine(line)
    expectClear(ran, code)
    expect(ran.stderr).toMatch(/no(t enough)? space|ENOSPC/i)
    expect(left()).toEqual([])
    makeRoom()
    await shop.ok(line)
    expect(left()).not.toEqual([])
  })

  test('for the second of two key files: the first is not left behind', async () => {
    fillUp(4 * KiB)
    expectClear(await shop.pine('key generate --out @small/ci'), 'IO_FAILED')
    expect(left()).toEqual([])
    makeRoom()
    await shop.ok('key generate --out @small/ci')
    expect(left()).toEqual(['ci.key', 'ci.pub'])
  })

  test('for what takes the place of a good file: the good one stays', async () => {
    const good = noise(64 * KiB, 5)
    writeFileSync(join(small, '2.0.img'), good)
    fillUp(512 * KiB)
    expectClear(await shop.pine('image build --tree @tree-2.0 --out @small/2.0.img'), 'TOOL_FAILED')
    expect(readFileSync(join(small, '2.0.img')).equals(good)).toBe(true)
    expect(left()).toEqual(['2.0.img'])
  })

  test('for a signature that is attached: the bundle stays as it was', async () => {
    await makeBundle(shop, '2.0', { from: '1.0' })
    copyFileSync(shop.path('2.0.bundle'), join(small, '2.0.bundle'))
    await shop.ok('bundle digest @small/2.0.bundle --out @message')
    const key = [
      'pkeyutl',
      '-sign',
      '-rawin',
      '-inkey',
      shop.path('keys/ci.key'),
      '-in',
      shop.path('message'),
    ]
    execFileSync('openssl', [...key, '-out', shop.path('signature')])
    const line = 'bundle attach @small/2.0.bundle --signature @signature --key @keys/ci.pub'
    const before = readFileSync(join(small, '2.0.bundle'))
    fillUp()
    expectClear(await shop.pine(line), 'IO_FAILED')
    expect(left()).toEqual(['2.0.bundle'])
    expect(readFileSync(join(small, '2.0.bundle')).equals(before)).toBe(true)
    makeRoom()
    await shop.ok(line)
  })

  test('for temporary files: told as what it is', async () => {
    process.env.TMPDIR = devices.memory(shop.path('tmp'), 'size=1m,nr_inodes=2')
    writeFileSync(shop.path('tmp/last-inode'), '')
    const ran = await shop.pine(`disk build ${DISK} --out @web.img`)
    expectClear(ran, 'IO_FAILED')
    expect(ran.stderr).toContain('tmp')
    rmSync(shop.path('tmp/last-inode'))
    devices.remount(shop.path('tmp'), 'nr_inodes=100')
    await shop.ok(`disk build ${DISK} --out @web.img`)
    expect(readdirSync(shop.path('tmp'))).toEqual([])
  })

  test('for a disk image that takes more room as slots fill: the slot is not armed', async () => {
    await makeBundle(shop, '2.0')
    const disk = join(small, 'host.img')
    execFileSync('cp', ['--sparse=always', shop.path('host.img'), disk])
    fillUp(1024 * KiB)
    const inFile = ON_DISK.replace('@host.img', disk)
    const ran = await shop.pine(`apply @2.0.bundle ${inFile}`)
    expectClear(ran, 'IO_FAILED')
    expect(ran.stderr).toContain('make room')
    copyFileSync(disk, shop.path('host.img'))
    await expectIntact(shop)
    makeRoom()
    await shop.ok(`apply @2.0.bundle ${inFile}`)
    copyFileSync(disk, shop.path('host.img'))
    await expectNextTryWorks(shop)
  })

  test('on ext4, which gives out room late: the same', async () => {
    writeFileSync(shop.path('ext4.img'), '')
    truncateSync(shop.path('ext4.img'), 8 * KiB * KiB)
    execFileSync('mkfs.ext4', ['-q', '-O', '^has_journal', '-m', '0', shop.path('ext4.img')])
    small = devices.ext4(shop.path('ext4'), shop.path('ext4.img'))
    fillUp(256 * KiB)
    const line = `bundle create --full ${BUNDLE} --out @ext4/2.0.bundle`
    expectClear(await shop.pine(line), 'IO_FAILED')
    expect(left()).toEqual(['lost+found'])
    makeRoom()
    await shop.ok(line)
    expect(statSync(shop.path('ext4/2.0.bundle')).size).toBeGreaterThan(256 * KiB)
  })
})

describe.skipIf(reason !== undefined)('a file system that is read-only', () => {
  test.each(MAKERS)('for %s: told, and once it is writable it works', async (_name, line) => {
    devices.remount(small, 'ro')
    const ran = await shop.pine(line)
    expectClear(ran, 'IO_FAILED')
    expect(ran.stderr).toContain('EROFS')
    devices.remount(small, 'rw')
    await shop.ok(line)
  })

  test('for a disk image: told before anything is read of the bundle', async () => {
    const disk = join(small, 'host.img')
    execFileSync('cp', ['--sparse=always', shop.path('host.img'), disk])
    devices.remount(small, 'ro')
    const ran = await shop.pine(`apply @none.bundle --disk ${disk} --config @host.toml`)
    expectClear(ran, 'IO_FAILED')
    expect(ran.stderr).toContain('EROFS')
    await shop.ok(`status --disk ${disk} --config @host.toml`)
  })
})
