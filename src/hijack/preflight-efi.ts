import { formatBytes } from '../core/format.ts'
import { SMALLEST_ESP_BYTES } from '../model/layout.ts'
import type { BoxFacts } from './box-facts.ts'
import type { EfiFacts } from './efi-facts.ts'
import { type Problem, stop } from './problem.ts'

/** Our loader twice, a copy of the old one, and what is being written beside it; measured: 0.8 MB, 0.8 MB and 1 MB. */
const FREE_BYTES = 8 * 1024 ** 2

type Rule = (efi: EfiFacts, facts: BoxFacts) => Problem | undefined

/** What is against a takeover of a machine that was started by UEFI. */
export function efiProblems(facts: BoxFacts): Problem[] {
  const { efi } = facts
  return efi === undefined ? [] : RULES.flatMap((rule) => rule(efi, facts) ?? [])
}

const RULES: readonly Rule[] = [loadsOurs, trustsOurs, hasGpt, keepsVariables, hasEsp, hasRoom, startsGrub]

function loadsOurs({ wordBits }: EfiFacts, { machine }: BoxFacts): Problem | undefined {
  if (wordBits === 64 && machine === 'x86_64') return undefined
  return stop(
    `its firmware is UEFI with ${wordBits} bits on ${machine}, expected 64 bits on x86_64`,
    'use "install" on an idle disk of another machine',
  )
}

function trustsOurs({ secureBoot }: EfiFacts): Problem | undefined {
  if (!secureBoot) return undefined
  return stop(
    'Secure Boot is on: our loader is not signed, and the firmware would not start it',
    'switch Secure Boot off in the panel of the hoster, or in the menu of the firmware',
  )
}

function hasGpt(_: EfiFacts, { disk }: BoxFacts): Problem | undefined {
  if (disk === undefined || disk.table !== 'dos') return undefined
  return stop(
    `UEFI has started it from ${disk.path} with an MBR; such a disk can be taken over with BIOS only`,
    'use "install" on an idle disk',
  )
}

/** Without them nobody could tell the firmware what to start. */
function keepsVariables({ canWriteVariables }: EfiFacts): Problem | undefined {
  if (canWriteVariables) return undefined
  return stop(
    'the variables of the firmware cannot be written: /sys/firmware/efi/efivars is not there, or read-only',
    'mount it with "mount -t efivarfs efivarfs /sys/firmware/efi/efivars", or with "-o remount,rw"',
  )
}

/** GRUB finds the new system on the disk that it was itself started from. */
function hasEsp({ esp }: EfiFacts, { disk }: BoxFacts): Problem | undefined {
  if (esp === undefined)
    return stop(
      `no EFI system partition of ${disk?.path ?? 'the disk'} is mounted and writable`,
      'mount it at /boot/efi, as Debian does; it has to be on the disk of /',
    )
  if (esp.bytes >= SMALLEST_ESP_BYTES) return undefined
  return stop(
    `the EFI system partition ${esp.path} has ${formatBytes(esp.bytes)}, expected ${formatBytes(SMALLEST_ESP_BYTES)} or more`,
    'use "install" on an idle disk',
  )
}

function hasRoom({ esp }: EfiFacts): Problem | undefined {
  if (esp === undefined || esp.freeBytes >= FREE_BYTES) return undefined
  return stop(
    `${esp.at} has ${formatBytes(esp.freeBytes)} free, ${formatBytes(FREE_BYTES)} are needed for our loader`,
    `remove what is not needed in ${esp.at}`,
  )
}

function startsGrub({ isGrub, loader, esp }: EfiFacts): Problem | undefined {
  if (isGrub || esp === undefined) return undefined
  return stop(
    `what started this machine, ${loader}, is not a GRUB on ${esp.path} that reads the configuration in /boot/grub`,
    '"grub-install" and "update-grub" make it so, if GRUB is what should start it; then restart',
  )
}
