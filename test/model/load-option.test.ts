import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeLoadOption, encodeLoadOption } from '../../src/model/load-option.ts'

const PLACE = {
  number: 1,
  firstLba: 2048,
  sectors: 0x20000,
  guid: '9a4e0001-1234-4000-8abc-0123456789ab',
}
/** By hand, from UEFI 2.10 §3.1.3, §10.3.5.1 and §10.3.5.4. */
const BY_HAND = Buffer.from(
  [
    '01000000 5400',
    '700069006e0065000000',
    '04012a00 01000000 0008000000000000 0000020000000000 01004e9a341200408abc0123456789ab 02 02',
    '04042600 5c004500460049005c00780079005c0067007200750062002e0065006600690000 00',
    '7fff0400',
  ]
    .join('')
    .replaceAll(' ', ''),
  'hex',
)

test('what is encoded is what the specification says', () => {
  expect(encodeLoadOption('pine', PLACE, 'EFI/xy/grub.efi').toString('hex')).toBe(BY_HAND.toString('hex'))
})

test('and comes back', () => {
  expect(decodeLoadOption(BY_HAND)).toEqual({
    description: 'pine',
    file: { partition: PLACE.guid, path: 'EFI/xy/grub.efi' },
  })
})

/** Out of the variables of OVMF: what Debian 12's grub-install had efibootmgr write, and what the firmware wrote itself. */
const BY_DEBIAN =
  '010000005e006700720075006200000004012a000100000000080000000000000000020000000000b92f854c13e1432f808b7602e9f1744d0202' +
  '040430005c004500460049005c0067007200750062005c0067007200750062007800360034002e0065006600690000007fff0400'
const DISK_BY_OVMF =
  '010000001600550045004600490020004d006900730063002000440065007600690063006500000002010c00d041030a000000000101060000047f' +
  'ff04004eac0881119f594d850ee21a522c59b2'
const SHELL_BY_OVMF =
  '010000002c00450046004900200049006e007400650072006e0061006c0020005300680065006c006c00000004071400c9bdb87cebf8344faaea3e' +
  'e4af6516a10406140083a5047c3e9e1c4fad65e05268d0b4d17fff0400'

test('a real one of Debian is read, and would be written with the same bytes', () => {
  const guid = '4c852fb9-e113-2f43-808b-7602e9f1744d'
  const path = 'EFI/grub/grubx64.efi'
  const bytes = Buffer.from(BY_DEBIAN, 'hex')
  expect(decodeLoadOption(bytes)).toEqual({ description: 'grub', file: { partition: guid, path } })
  expect(encodeLoadOption('grub', { ...PLACE, guid }, path).equals(bytes)).toBe(true)
})

test('real ones of firmware name a disk, or something inside of it, and no file', () => {
  const found = [DISK_BY_OVMF, SHELL_BY_OVMF].map((hex) => decodeLoadOption(Buffer.from(hex, 'hex')))
  expect(found).toEqual([
    { description: 'UEFI Misc Device', file: undefined },
    { description: 'EFI Internal Shell', file: undefined },
  ])
})

/** With a device path that names the controller as well, and data behind it, as other systems write them. */
function withPath(...nodes: string[]): Buffer {
  const list = Buffer.from(nodes.join('').replaceAll(' ', ''), 'hex')
  const header = Buffer.from('010000000000 78000000'.replaceAll(' ', ''), 'hex')
  header.writeUInt16LE(list.length, 4)
  return Buffer.concat([header, list, Buffer.from('data of whoever wrote it')])
}
const DRIVE = '04012a00 01000000 0008000000000000 0000020000000000 01004e9a341200408abc0123456789ab 02 02'
const fileNode = (path: string) => {
  const name = Buffer.from(`${path}\0`, 'utf16le')
  const length = Buffer.alloc(2)
  length.writeUInt16LE(name.length + 4)
  return `0404${length.toString('hex')}${name.toString('hex')}`
}
const END = '7fff0400'
const PCI = '02010c00d041030a00000000 01010600 0003'

describe('of what others write', () => {
  test.each<[string, Buffer, string | undefined]>([
    [
      'a whole path from the bus on',
      withPath(PCI, DRIVE, fileNode('\\EFI\\BOOT\\BOOTX64.EFI'), END),
      'EFI/BOOT/BOOTX64.EFI',
    ],
    [
      'a path in two pieces',
      withPath(DRIVE, fileNode('\\EFI\\debian'), fileNode('shimx64.efi'), END),
      'EFI/debian/shimx64.efi',
    ],
    ['slashes', withPath(DRIVE, fileNode('/EFI/x/y.efi'), END), 'EFI/x/y.efi'],
    ['a disk without a file', withPath(PCI, END), undefined],
    ['a file that is on no partition', withPath(PCI, fileNode('\\x.efi'), END), undefined],
    [
      'a partition of an MBR',
      withPath(DRIVE.replace(/02 02$/, '01 01'), fileNode('\\x.efi'), END),
      undefined,
    ],
    ['a way out of the partition', withPath(DRIVE, fileNode('\\..\\..\\etc\\shadow'), END), undefined],
    ['a node longer than all', withPath(DRIVE, '0404ffff', END), undefined],
    ['a node without a length', withPath('04010000', DRIVE, fileNode('\\x.efi'), END), undefined],
    ['a second path behind the end of the first', withPath(DRIVE, END, fileNode('\\x.efi'), END), undefined],
  ])('%s', (_, bytes, path) => {
    expect(decodeLoadOption(bytes)?.file?.path).toBe(path)
  })

  test('a description without an end is no option, and neither is nothing', () => {
    expect(decodeLoadOption(Buffer.from('0100000004007800', 'hex'))).toBeUndefined()
    expect(decodeLoadOption(Buffer.alloc(0))).toBeUndefined()
    expect(decodeLoadOption(Buffer.alloc(5))).toBeUndefined()
  })
})

test('any bytes are an option or none, and no path leads out of its partition', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.boolean(), (bytes, isLike) => {
      const all = isLike ? Buffer.concat([BY_HAND.subarray(0, 62), bytes]) : Buffer.from(bytes)
      const path = decodeLoadOption(all)?.file?.path ?? 'x'
      expect(path.split('/')).not.toContain('..')
      expect(path.startsWith('/')).toBe(false)
    }),
  )
})
