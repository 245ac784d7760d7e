import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Host } from '../../src/host/host.ts'
import { encodeLoadOption } from '../../src/model/load-option.ts'
import { noise } from '../support/cli.ts'
import { type Box, copyBox, makeBox } from './box.ts'
import { run } from './box-files.ts'
import { endsOf, parse } from './gpt-disk.ts'
import { GOOD_UEFI_BOX } from './takeover-facts.ts'

export const ESP_TYPE = 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b'
/** As Debian's installer leaves it on UEFI. */
const DEBIAN_UEFI = `label: gpt
start=1MiB, size=34MiB, type=${ESP_TYPE}
start=35MiB
`
const GLOBAL = '8be4df61-93ca-11d2-aa0d-00e098032b8c'
/** In place of both: nobody starts them here. */
export const OLD_GRUB = Buffer.concat([Buffer.from('MZ grub_errno\0'), noise(200_000, 5)])
export const OUR_GRUB = Buffer.concat([Buffer.from('MZ grub_errno\0'), noise(300_000, 6)])

/**
 * A box that UEFI has started. Its firmware is a plain folder, in which each variable is a file: nothing of efivarfs but
 * the names and the contents. Its EFI system partition is a folder of the root's file system: this kernel may know no FAT.
 */
export interface UefiBox extends Box {
  esp: string
  /** Of the EFI system partition. */
  uuid: string
}

export async function makeUefiBox(): Promise<UefiBox> {
  const box = around(await makeBox(DEBIAN_UEFI))
  mkdirSync(firmwareOf(box.disk), { recursive: true })
  const place = { number: 1, firstLba: 2048, sectors: 34 * 2048, guid: box.uuid }
  setVariable(box, 'BootOrder', Buffer.from([1, 0, 0, 0]))
  setVariable(box, 'BootCurrent', Buffer.from([1, 0]))
  setVariable(box, 'Boot0000', Buffer.from('01000000040055004900000' + '07fff0400', 'hex'))
  setVariable(box, 'Boot0001', encodeLoadOption('debian', place, 'EFI/debian/grubx64.efi'))
  for (const name of ['EFI/debian/grubx64.efi', 'EFI/BOOT/BOOTX64.EFI']) {
    mkdirSync(dirname(join(box.esp, name)), { recursive: true })
    writeFileSync(join(box.esp, name), OLD_GRUB)
  }
  run('sync', ['--file-system', box.esp])
  return box
}

/** What is left when the power goes: the disk as it is, and what the firmware was told, which it keeps at once. */
export function copyUefiBox(of: Pick<Box, 'disk' | 'loaders'>): UefiBox {
  const copy = copyBox(of)
  cpSync(firmwareOf(of.disk), firmwareOf(copy.disk), { recursive: true })
  return around(copy)
}

function around(box: Box): UefiBox {
  const uuid = parse(endsOf(box.disk)).entries[0]?.uniqueGuid ?? ''
  const { efi } = GOOD_UEFI_BOX
  return {
    ...box,
    esp: join(box.folder, 'boot/efi'),
    uuid,
    host: hostWith(box, uuid),
    efi: { ...efi, esp: efi.esp && { ...efi.esp, uuid } },
  }
}

function firmwareOf(disk: string): string {
  return join(dirname(disk), 'firmware/efivars')
}

function hostWith({ disk, folder, host }: Box, uuid: string): Host {
  const runFolder = join(dirname(disk), 'run')
  const at = (path: string) =>
    path.replace(/^\/sys\/firmware\/efi/, dirname(firmwareOf(disk))).replace(/^\/run\/pine-update/, runFolder)
  const mountinfo = async () =>
    Buffer.from(`${readFileSync('/proc/self/mountinfo')}900 1 0:99 / /boot/efi rw - vfat /dev/vda1 rw\n`)
  const read = (path: string) => (path.endsWith('/loader/grubx64.efi') ? OUR_GRUB : undefined)
  const device = (path: string) =>
    path === '/dev/vda1' || path === `/dev/disk/by-partuuid/${uuid}` ? '/dev/vda1' : undefined
  // This kernel may know no FAT: the folder in place of the partition.
  const mounted = (args: readonly string[]) =>
    args.includes('vfat') ? ['--bind', join(folder, 'boot/efi'), at(args.at(-1) ?? '')] : args.map(at)
  return {
    ...host,
    exec: (command, args, options) =>
      host.exec(command, command === 'mount' ? mounted(args) : args.map(at), options),
    openRegion: (path, options) => host.openRegion(at(path), options),
    readFile: async (path) =>
      path === '/proc/self/mountinfo' ? mountinfo() : (read(path) ?? host.readFile(at(path))),
    realPath: async (path) => device(path) ?? host.realPath(at(path)),
    replaceFile: (path, content, mode) => host.replaceFile(at(path), content, mode),
    listFolder: (path) => host.listFolder(at(path)),
    kindOf: (path) => host.kindOf(at(path)),
    removeFile: (path) => host.removeFile(at(path)),
    writeVariable: (path, content) => host.writeVariable(at(path), content),
    removeVariable: (path) => host.removeVariable(at(path)),
  }
}

export function setVariable({ disk }: Pick<Box, 'disk'>, name: string, value: Buffer): void {
  const content = Buffer.concat([Buffer.from([7, 0, 0, 0]), value])
  writeFileSync(join(firmwareOf(disk), `${name}-${GLOBAL}`), content)
}

/** All of them, in hex, by name. */
export function variablesOf({ disk }: Pick<Box, 'disk'>): Record<string, string> {
  const folder = firmwareOf(disk)
  const shown = (file: string) => [file.replace(`-${GLOBAL}`, ''), readFileSync(join(folder, file), 'hex')]
  return Object.fromEntries(readdirSync(folder).sort().map(shown))
}

/** The firmware at power on: it takes the one-shot and forgets it before it starts anything. Returns the file that it starts. */
export function startFirmware(box: Pick<Box, 'disk'>): string {
  const { BootNext, BootOrder } = variablesOf(box)
  const number = (BootNext ?? BootOrder ?? '').slice(8, 12)
  const path = join(firmwareOf(box.disk), `BootNext-${GLOBAL}`)
  run('rm', ['-f', path])
  setVariable(box, 'BootCurrent', Buffer.from(number, 'hex'))
  const digits = Buffer.from(number, 'hex').reverse().toString('hex').toUpperCase()
  const option = Buffer.from(variablesOf(box)[`Boot${digits}`] ?? '', 'hex').toString('utf16le')
  return /\\EFI\\([\w-]+)\\/.exec(option)?.[1] ?? 'nothing'
}
