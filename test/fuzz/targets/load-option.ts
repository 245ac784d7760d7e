import { decodeLoadOption, encodeLoadOption } from '../../../src/model/load-option.ts'
import { mutateBytes } from '../bytes.ts'
import { accepted, defineTarget, refused, requireThat, type TargetEntry } from '../target.ts'

const PLACE = {
  number: 1,
  firstLba: 2048,
  sectors: 131_072,
  guid: '4c852fb9-e113-2f43-808b-7602e9f1744d',
}
const OURS = encodeLoadOption('pine-update', PLACE, 'EFI/pine-update/grubx64.efi')
/** Of a disk, with data of the firmware behind it. */
const DISK =
  '010000001600550045004600490000000' + '2010c00d041030a000000000101060000047fff04004eac0881119f594d'

/** Variables of the firmware: the file in one becomes a path of the running system. */
export const loadOption: TargetEntry = {
  name: 'load-option',
  weight: 200_000,
  open: () =>
    defineTarget({
      name: 'load-option',
      seeds: [OURS, Buffer.from(DISK, 'hex')],
      mutate: (input, random, donor) => mutateBytes(input, random, donor, 1024),
      decode: decodeLoadOption,
      codes: [],
      verdict(option) {
        if (option === undefined) return refused('no option')
        const names = option.file?.path.split('/') ?? []
        for (const bad of ['', '.', '..']) requireThat(!names.includes(bad), `a name is "${bad}"`)
        requireThat(!/[\0\\]/.test(names.join('/')), 'a path with NUL or backslash')
        return accepted(`${names.length} ${Math.min(option.description.length, 20)}`)
      },
    }),
}
