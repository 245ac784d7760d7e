import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { mountOf, parseMounts } from '../../src/hijack/mounts.ts'

const MOUNTINFO = `22 28 0:21 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw
28 1 254:2 / / rw,relatime shared:1 - ext4 /dev/vda2 rw,errors=remount-ro
31 28 254:1 / /boot rw,relatime shared:30 master:4 - ext4 /dev/vda1 rw
40 28 0:30 /@home /home rw - btrfs /dev/vda3 rw,subvol=/@home
50 28 254:4 / /mnt/with\\040space\\011and\\134 rw - xfs /dev/disk/by-label/a\\040b rw
60 28 254:5 / /mnt/twice rw - ext4 /dev/vda5 rw
61 28 254:6 / /mnt/twice rw - xfs /dev/vda6 rw
`
const mounts = parseMounts(MOUNTINFO)
const deviceOf = (path: string): string | undefined => mountOf(mounts, path)?.source

test('a mount has its place, its kind and its device, however many fields stand between', () => {
  expect(mounts).toHaveLength(7)
  expect(mounts[2]).toEqual({ at: '/boot', root: '/', fs: 'ext4', source: '/dev/vda1', isReadOnly: false })
  expect(mounts[3]).toEqual({
    at: '/home',
    root: '/@home',
    fs: 'btrfs',
    source: '/dev/vda3',
    isReadOnly: false,
  })
})

test('one is read-only by itself, or as all of its file system', () => {
  const parsed = parseMounts(`1 2 0:1 / /a ro,nosuid - efivarfs efivarfs rw
2 2 0:1 / /b rw,noro shared:1 - ext4 /dev/vda1 ro,errors=remount-ro
3 2 0:1 / /c rw,errors=remount-ro - ext4 /dev/vda1 rw
`)
  expect(parsed.map(({ at, isReadOnly }) => [at, isReadOnly])).toEqual([
    ['/a', true],
    ['/b', true],
    ['/c', false],
  ])
})

test('what would end a field is octal', () => {
  expect(mounts[4]).toMatchObject({ at: '/mnt/with space\tand\\', source: '/dev/disk/by-label/a b' })
  expect(deviceOf('/mnt/with space\tand\\/file')).toBe('/dev/disk/by-label/a b')
})

test('the innermost mount holds a path, and a name that begins alike does not', () => {
  expect(deviceOf('/boot/grub')).toBe('/dev/vda1')
  expect(deviceOf('/boot')).toBe('/dev/vda1')
  expect(deviceOf('/boots/x')).toBe('/dev/vda2')
  expect(deviceOf('/')).toBe('/dev/vda2')
  expect(mountOf(mounts.slice(2), '/usr')).toBeUndefined()
})

test('of two at one place the later one is seen', () => {
  expect(deviceOf('/mnt/twice/file')).toBe('/dev/vda6')
})

test('what is no mount is left out', () => {
  expect(parseMounts('\nnonsense\n1 2 3\n')).toEqual([])
})

test('of the machine that this runs on each line is understood', () => {
  const text = readFileSync('/proc/self/mountinfo', 'utf8')
  const found = parseMounts(text)
  expect(found).toHaveLength(text.trimEnd().split('\n').length)
  expect(mountOf(found, '/')?.at).toBe('/')
})
