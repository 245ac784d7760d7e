import { copyFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect } from 'vitest'
import { differingLines, LIST_FILES } from './old-files.ts'
import { EMPTY_VARIABLES } from './qemu.ts'
import { startBox } from './rented-box.ts'
import { IS_OLD, imageOptions, MOUNT_CARGO, rehearseWell, type TakeoverBox } from './takeover-box.ts'
import { IS_R2, takeOver } from './takeover-story.ts'

/** What the firmware starts, and in which order. */
const VARIABLES = 'cd /sys/firmware/efi/efivars && sha256sum Boot*'
const ESP_FILES = 'cd /boot/efi && find . -type f -print0 | sort -z | xargs -0 sha256sum'
/** Up to the EFI system partition, of which only the files count: FAT notes more than them. */
const TABLE = '{ head -c 1M /dev/vda; tail -c 1M /dev/vda; } | sha256sum'
const OUR_PROGRAM = '/boot/efi/EFI/pine-update/grubx64.efi'

async function contentOf({ ok }: TakeoverBox): Promise<string> {
  const parts = [LIST_FILES, VARIABLES, ESP_FILES, TABLE]
  const texts: string[] = []
  for (const part of parts) texts.push(await ok(part))
  return texts.join('\n')
}

/**
 * A loader that the firmware cannot start, a second commit, an abort; then a whole takeover, and at its end firmware that has
 * lost all that it was told.
 */
export async function takeOverByFirmware(box: TakeoverBox, cargo: string): Promise<void> {
  const before = await contentOf(box)
  await cannotBeStarted(box)
  await box.hijack('commit')
  expect(await box.stage()).toMatchObject({ stage: 'committed', reason: null })
  // systemd found our partition in the table.
  expect(await box.ok('cat /proc/swaps')).toContain('/dev/vda')
  await box.hijack('abort')
  expect(await box.ok('cat /proc/swaps')).not.toContain('/dev/vda')
  expect(differingLines(before, await contentOf(box))).toEqual([])
  await box.ok(MOUNT_CARGO)
  await takeOver(box)
  await box.powerOff()
  await startsWithoutVariables(box, cargo)
}

async function cannotBeStarted(box: TakeoverBox): Promise<void> {
  const { hijack, isUpAgain, ok, ssh } = box
  await ok(MOUNT_CARGO)
  await hijack(`stage ${imageOptions('r1', '1.0')}`)
  await rehearseWell(box)
  await hijack('commit')
  console.log(await ok(`od -An -tx1 /sys/firmware/efi/efivars/BootNext-*; ls -l ${OUR_PROGRAM}`))
  await ok(`head -c 4096 /dev/zero >${OUR_PROGRAM} && sync`)
  await isUpAgain(IS_OLD, () => ssh('systemctl reboot'))
  expect(await box.stage()).toMatchObject({
    stage: 'returned',
    reason: expect.stringContaining('did not come as far as the new system'),
  })
  console.log(await hijack('status'))
}

async function startsWithoutVariables({ disk, key }: TakeoverBox, cargo: string): Promise<void> {
  const dir = dirname(disk)
  const variables = join(dir, 'forgotten.fd')
  copyFileSync(EMPTY_VARIABLES, variables)
  const machine = { disk, variables, firmware: 'uefi', memoryMiB: 256 } as const
  const box = await startBox({ ...machine, key, cargo, dir, name: 'forgetful' })
  try {
    await box.isUp(IS_R2)
    console.log(await box.ok('pine-update status; od -An -tx1 /sys/firmware/efi/efivars/BootOrder-*'))
  } finally {
    await box.kill()
  }
}
