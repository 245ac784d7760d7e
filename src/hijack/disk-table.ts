import { PineError } from '../core/error.ts'
import type { Region } from '../core/region.ts'
import type { Host } from '../host/host.ts'
import { OUR_PROGRAM } from '../model/boot-variables.ts'
import { GPT_HEAD_BYTES, GPT_TAIL_BYTES, type GptTable, isProtected, parseGpt } from '../model/gpt.ts'
import { addEntries, renamed } from '../model/gpt-edit.ts'
import type { GptEntry } from '../model/gpt-entry.ts'
import { ESP_TYPE, type LoaderRole, ROLES, type Role } from '../model/layout.ts'
import { encodeLoadOption } from '../model/load-option.ts'
import { type MbrTable, readMbr } from '../model/mbr.ts'
import type { CarvedPart, TakeoverJournal } from './journal.ts'

export const SECTOR_BYTES = 512
/** Where GRUB is for BIOS, by its type: UEFI has none for it. */
export const BIOS_BOOT = '21686148-6449-6e6f-744e-656564454649'
export const LINUX = '0fc63daf-8483-4772-8e79-3d69d8477de4'
/** As in layouts/. */
const TYPES: Record<Role, string> = {
  bootstate: '8e0d3b26-5b2c-4c35-9c0c-0d5c8f2b7a10',
  swap: '0657fd6d-a4ab-43c4-84e5-0933c84b4f4f',
  'rootfs-a': LINUX,
  'rootfs-b': LINUX,
  state: LINUX,
}

/** A table, and the start of the disk that it was read from. */
export interface DiskTable {
  table: GptTable
  head: Buffer
}

/** Throws `LAYOUT_INVALID`. */
export async function readDiskTable(disk: Region): Promise<DiskTable> {
  const [head, tail] = [Buffer.alloc(GPT_HEAD_BYTES), Buffer.alloc(GPT_TAIL_BYTES)]
  await disk.read(head, 0)
  await disk.read(tail, disk.bytes - tail.length)
  return { table: parseGpt(head, tail, disk.bytes, SECTOR_BYTES), head }
}

/** Its first sector says that there is a GPT; else what is in that sector is the table. */
export async function hasGpt(disk: Region): Promise<boolean> {
  return isProtected(await readSectors(disk, 0, 1))
}

/** Throws `LAYOUT_INVALID`. */
export function readMbrTable(disk: Region): Promise<MbrTable> {
  return readMbr((lba) => readSectors(disk, lba, 1), Math.floor(disk.bytes / SECTOR_BYTES))
}

export async function readSectors(disk: Region, lba: number, count: number): Promise<Buffer> {
  const sectors = Buffer.alloc(count * SECTOR_BYTES)
  await disk.read(sectors, lba * SECTOR_BYTES)
  return sectors
}

export async function readBootSector(host: Host, path: string): Promise<Buffer> {
  const disk = await host.openRegion(path)
  return readSectors(disk, 0, 1).finally(() => disk.close())
}

/** Of a takeover, as far as the table is concerned. */
export type InTable = Pick<TakeoverJournal, 'parts' | 'efi'>

/** The partition that our loader goes to, beside the old one, and what it is to the new system. */
export function loaderPartition(
  { entries }: GptTable,
  { efi }: Pick<InTable, 'efi'>,
): { role: LoaderRole; entry: GptEntry | undefined } {
  if (efi === null)
    return { role: 'bios-boot', entry: entries.find(({ typeGuid }) => typeGuid === BIOS_BOOT) }
  const isEsp = ({ typeGuid }: GptEntry) => typeGuid === ESP_TYPE.toLowerCase()
  return { role: 'esp', entry: entries.find((entry) => isEsp(entry) && entry.uniqueGuid === efi.uuid) }
}

/** Names say what a partition is for: none of the old ones may have one of ours. Throws `TAKEOVER_REFUSED`. */
export function requireNames(table: GptTable, inTable: Pick<InTable, 'efi'>): void {
  const { role: loaderRole, entry } = loaderPartition(table, inTable)
  const isOurs = (name: string) => ROLES.some((role) => role === name)
  const taken = table.entries.filter(
    (other) => isOurs(other.name) || (other !== entry && other.name === loaderRole),
  )
  if (taken.length === 0) return
  const names = taken.map(({ number, name }) => `${number} (${name})`).join(', ')
  throw new PineError(
    'TAKEOVER_REFUSED',
    `partitions of the old system have names of the new one: ${names}`,
    {
      hint: 'give them other names with "sfdisk --part-label"',
    },
  )
}

/** How the firmware is told of our loader. Throws `TAKEOVER_REFUSED`. */
export function bootOption(table: GptTable, inTable: InTable): Buffer {
  const { entry } = loaderPartition(table, inTable)
  if (entry === undefined)
    throw new PineError('TAKEOVER_REFUSED', 'the EFI system partition is not in the table of the disk', {
      hint: 'look at it with "sfdisk --list"; then begin again after "pine-update hijack abort"',
    })
  const { number, firstLba, lastLba, uniqueGuid } = entry
  const place = { number, firstLba, sectors: lastLba + 1 - firstLba, guid: uniqueGuid }
  return encodeLoadOption('pine-update', place, OUR_PROGRAM)
}

/** With the partitions of the new system, inside of that of the old one. Throws `LAYOUT_INVALID`. */
export function withNewSystem(table: GptTable, inTable: InTable): GptTable {
  const { role, entry } = loaderPartition(table, inTable)
  const named = entry === undefined ? table : renamed(table, entry.number, role)
  return addEntries(named, inTable.parts.map(entryOf))
}

function entryOf({ name, number, uuid, offset, bytes }: CarvedPart): GptEntry {
  return {
    ...{ name, number, uniqueGuid: uuid, typeGuid: TYPES[name], attributes: 0n },
    firstLba: offset / SECTOR_BYTES,
    lastLba: (offset + bytes) / SECTOR_BYTES - 1,
  }
}
