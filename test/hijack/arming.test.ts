import { renameSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { partOf } from '../../src/hijack/content.ts'
import { verifyStaged } from '../../src/hijack/rehearse.ts'
import { type Box, makeBox, withoutBox } from './box.ts'
import { filesOf, run } from './box-files.ts'
import { readAt, SECTOR, writePieces } from './gpt-disk.ts'
import { armOn, journalIn, makeImage, stageIn, stageOn } from './takeover-steps.ts'

const reason = withoutBox()
if (reason !== undefined) console.log(`skipped, ${reason}: arming on a real disk`)

let box: Box
afterEach(() => box?.close())

async function openStaged(): Promise<void> {
  box = await makeBox()
  await stageOn(box, makeImage(box))
}

const grubFile = (name: string) => join(box.folder, 'boot/grub', name)

describe.skipIf(reason !== undefined)('arming', () => {
  test('leaves the modes of the files of GRUB: there may be a password in them', async () => {
    await openStaged()
    const { mode } = statSync(grubFile('custom.cfg'))
    await armOn(box)
    expect(statSync(grubFile('custom.cfg')).mode).toBe(mode)
    expect(statSync(join(box.folder, 'pine-update/captured.cpio')).mode & 0o777).toBe(0o600)
  })

  test('makes what GRUB has not got', async () => {
    await openStaged()
    for (const name of ['custom.cfg', 'grubenv']) rmSync(grubFile(name))
    await armOn(box)
    expect(await stageIn(box)).toBe('armed')
    for (const name of ['custom.cfg', 'grubenv']) expect(statSync(grubFile(name)).mode & 0o777).toBe(0o644)
  })

  test('is refused where the blocks are no longer ours: they may be those of another file', async () => {
    await openStaged()
    const { parts } = await journalIn(box)
    // What a cut in the middle of "abort" leaves.
    await box.carving.setImmutable('/pine-update/carved', false)
    renameSync(join(box.folder, 'pine-update/carved'), join(box.folder, 'moved'))
    const at = partOf({ parts }, 'bootstate').offset
    const [before, files] = [readAt(box.disk, at, 2048 * SECTOR), filesOf(box.folder)]
    await expect(armOn(box)).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' })
    run('cp', ['--sparse=always', join(box.folder, 'moved'), join(box.folder, 'pine-update/carved')])
    await expect(armOn(box)).rejects.toMatchObject({ code: 'CARVE_FAILED' })
    rmSync(join(box.folder, 'pine-update/carved'))
    expect(readAt(box.disk, at, 2048 * SECTOR).equals(before)).toBe(true)
    expect(filesOf(box.folder)).toEqual(files)
  })

  test('comes after a look at slot a, as the disk gives it back', async () => {
    await openStaged()
    const journal = await journalIn(box)
    await verifyStaged(box.host, journal, () => undefined)
    writePieces(box.disk, [{ offset: partOf(journal, 'rootfs-a').offset + 4096, bytes: Buffer.from('bad') }])
    await expect(verifyStaged(box.host, journal, () => undefined)).rejects.toMatchObject({
      code: 'IMAGE_MISMATCH',
    })
  })
})
