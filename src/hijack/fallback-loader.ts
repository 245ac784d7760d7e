import { dirname, join } from 'node:path'
import { preferLoader } from '../boot/firmware-choice.ts'
import { isUefi } from '../boot/firmware-variables.ts'
import { EFI_PROGRAM } from '../boot/grub-efi-partition.ts'
import { PineError } from '../core/error.ts'
import type { Host } from '../host/host.ts'
import { OUR_PROGRAM } from '../model/boot-variables.ts'
import type { Layout } from '../model/layout.ts'
import { writeProgram } from './esp.ts'

/** Nobody else looks there. */
const FOLDER = '/run/pine-update/esp'
/** What was in our place before, for a person with a rescue system. */
const OLD_PROGRAM = 'EFI/BOOT/before-pine-update.efi'
/** Said, so that it needs the modules that `imageProblems` looks for, whatever the kernel takes by itself. */
const VFAT = ['-t', 'vfat', '-o', 'codepage=437,iocharset=ascii,nosuid,nodev,noexec,umask=077']

/**
 * Before the old system goes: whatever the firmware starts then is our loader, also where it has lost its variables. Until
 * here the file that it then takes is that of the old system. A crash leaves either, each of which starts a whole system.
 * Does nothing with BIOS. Throws `TAKEOVER_REFUSED`, `TOOL_FAILED`, `IO_FAILED`; the old system is then still there.
 */
export async function secureLoader(host: Host, layout: Layout): Promise<void> {
  if (!(await isUefi(host))) return
  const { esp } = layout.partitions
  if (esp === undefined) throw refused('no partition of this disk is named esp')
  await preferLoader(host, layout)
  await host.exec('mkdir', ['-p', FOLDER])
  await host.exec('mount', [...VFAT, `/dev/disk/by-partuuid/${esp.uuid}`, FOLDER])
  // Never removed with what is in it: it could still be mounted.
  try {
    await becomeFallback(host)
  } finally {
    await host.exec('umount', [FOLDER])
  }
}

async function becomeFallback(host: Host): Promise<void> {
  const [ours, fallback] = [join(FOLDER, OUR_PROGRAM), join(FOLDER, EFI_PROGRAM)]
  const program = await host.readFile(ours)
  if (program === undefined) throw refused(`the EFI system partition has no ${OUR_PROGRAM}`)
  const found = await host.readFile(fallback)
  if (found?.equals(program)) return
  await host.exec('mkdir', ['-p', dirname(fallback)])
  if (found !== undefined) await writeProgram(host, join(FOLDER, OLD_PROGRAM), found)
  await writeProgram(host, fallback, program)
}

function refused(problem: string): PineError {
  return new PineError(
    'TAKEOVER_REFUSED',
    `${problem}: the loader of this system would be gone with the old one`,
    { hint: 'restart into the old system, and run "pine-update hijack commit" there again' },
  )
}
