import { afterEach, describe, expect, test } from 'vitest'
import { checkCommit } from '../../src/hijack/commit.ts'
import { aroundRoot, type Box, withoutBox } from './box.ts'
import { filesOf } from './box-files.ts'
import { DEVICE } from './box-host.ts'
import { BIOS_BOOT } from './gpt-disk.ts'
import { makeRehearsed } from './rehearsing.ts'
import { commitOn, stageIn } from './takeover-steps.ts'

const reason = withoutBox()
if (reason !== undefined) console.log(`skipped, ${reason}: disks that cannot be committed`)

let box: Box
afterEach(() => box?.close())

const GRUB = `start=1MiB, type=${BIOS_BOOT}`
/** Less than two of our loaders need. */
const TIGHT = `${GRUB}, size=${Math.ceil(180_000 / 1024)}KiB`
const REFUSED: [string, string[], string][] = [
  ['where our loader has no room', [TIGHT, 'start=2MiB'], 'no place beside the old one'],
  ['where GRUB is between the partitions', ['start=1MiB, size=1MiB', 'start=2MiB'], 'no partition for GRUB'],
  [
    'where names are taken',
    [`${GRUB}, size=1MiB`, 'start=2MiB, size=480MiB', 'name=swap, start=483MiB'],
    'names of the new one: 3 (swap)',
  ],
]

describe.skipIf(reason !== undefined)('commit is refused', () => {
  test.each(REFUSED)(
    '%s: that is known before, and if not, the rehearsal still counts',
    async (_, lines, text) => {
      box = await makeRehearsed(['label: gpt', ...lines].join('\n'))
      const refused = { code: 'TAKEOVER_REFUSED', message: expect.stringContaining(text) }
      await expect(checkCommit(box.host, DEVICE, { efi: null })).rejects.toMatchObject(refused)
      const [before, files] = [aroundRoot(box.disk), filesOf(box.folder)]
      await expect(commitOn(box)).rejects.toMatchObject(refused)
      expect(aroundRoot(box.disk).equals(before)).toBe(true)
      expect(filesOf(box.folder)).toEqual(files)
      expect(await stageIn(box)).toBe('rehearsed')
    },
  )

  test('on no server as Debian sets it up', async () => {
    box = await makeRehearsed()
    await checkCommit(box.host, DEVICE, { efi: null })
  })
})
