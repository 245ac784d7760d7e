import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { makeHost, openWorkshop, type Workshop } from '../support/cli.ts'

let shop: Workshop
let device: string | undefined

beforeEach(async () => {
  shop = openWorkshop()
  await makeHost(shop)
  execFileSync('truncate', ['-s', '64M', shop.path('idle')])
  const attached = spawnSync('losetup', ['--find', '--show', shop.path('idle')], { encoding: 'utf8' })
  device = attached.status === 0 ? attached.stdout.trim() : undefined
})

afterEach(() => {
  if (device !== undefined) {
    spawnSync('umount', [device])
    spawnSync('losetup', ['--detach', device])
  }
  shop.close()
})

const install = (more: string): string =>
  `install --disk ${device} --layout @layout.sfdisk --image @1.0.img --compatible test --release 1.0 --json${more}`

/** True, with the reason printed, where this machine gives no loop device. */
function noLoopDevice(): boolean {
  if (device !== undefined && existsSync('/sys/dev/block')) return false
  console.log('skipped: no loop device, or no /sys to look at it (not root, or a bare chroot)')
  return true
}

test('an idle disk gets layout, loader and image, and is then a disk like any other', async () => {
  if (noLoopDevice()) return
  await shop.ok(install(' --yes'))
  const { slots, nextBoot } = (await shop.ok(`status --json --disk ${device}`)).json()
  expect(nextBoot).toBe('a')
  expect(slots[0]).toMatchObject({ condition: 'confirmed', image: { version: '1.0' } })
})

test('without --yes, and with --dry-run, nothing is written', async () => {
  if (noLoopDevice()) return
  expect((await shop.pine(install(''))).json().error.code).toBe('USAGE')
  await shop.ok(install(' --dry-run'))
  expect(readFileSync(shop.path('idle')).every((byte) => byte === 0)).toBe(true)
})

test('a disk that is mounted is refused, and said where', async () => {
  if (noLoopDevice()) return
  execFileSync('mke2fs', ['-q', '-t', 'ext4', device ?? ''])
  mkdirSync(shop.path('mnt'))
  execFileSync('mount', [device ?? '', shop.path('mnt')])
  const { error } = (await shop.pine(install(' --yes'))).json()
  expect(error).toMatchObject({ code: 'DISK_IN_USE', message: expect.stringContaining(shop.path('mnt')) })
})

test('a disk for UEFI boots by itself; how to put it first in the list of this machine is said', async () => {
  if (noLoopDevice()) return
  const esp = 'name=esp, size=33MiB, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B'
  const forBios = readFileSync(shop.path('layout.sfdisk'), 'utf8')
  writeFileSync(shop.path('layout.sfdisk'), forBios.replace(/^name=bios-boot.*$/m, esp))
  const { stdout } = await shop.ok(install(' --yes').replace(' --json', ''))
  const entry = `efibootmgr --create --disk ${device} --part 1 --label pine-update`
  expect(stdout).toContain(`${entry} --loader '\\EFI\\BOOT\\BOOTX64.EFI'`)
  expect((await shop.ok(`status --json --disk ${device}`)).json().nextBoot).toBe('a')
})
