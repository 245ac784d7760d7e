import { type Layout, ROLES, type Role } from './layout.ts'

/** A disk whose partitions are not in its table yet: the rehearsal of a takeover. */
export interface Rehearsal {
  /** Identifies the disk: GUID or signature of its table, lower case. */
  tableId: string
  parts: readonly RehearsedPart[]
}

export interface RehearsedPart {
  name: Role
  /** Of the disk, whole MiB. */
  offset: number
  bytes: number
}

const MIB = 1024 ** 2
const PART = /^([a-z-]+)@(\d{1,9})\+(\d{1,9})$/

/** Kernel arguments that say so; counted in MiB. src/system/initramfs-rehearse reads them too. */
export function rehearsalArguments({ tableId, parts }: Rehearsal): string {
  const places = parts.map(({ name, offset, bytes }) => `${name}@${offset / MIB}+${bytes / MIB}`)
  return `pine.rehearse=${tableId} pine.parts=${places.join(',')}`
}

/** Undefined where the machine was started in the ordinary way, or a part is missing. */
export function parseRehearsal(cmdline: ReadonlyMap<string, string>): Rehearsal | undefined {
  const tableId = cmdline.get('pine.rehearse')
  const parts = (cmdline.get('pine.parts') ?? '').split(',').flatMap(parsePart)
  const isWhole = ROLES.every((role) => parts.filter(({ name }) => name === role).length === 1)
  return tableId !== undefined && isWhole ? { tableId: tableId.toLowerCase(), parts } : undefined
}

function parsePart(text: string): RehearsedPart[] {
  const [, found, at, length] = PART.exec(text) ?? []
  const name = ROLES.find((role) => role === found)
  return name === undefined ? [] : [{ name, offset: Number(at) * MIB, bytes: Number(length) * MIB }]
}

/** The layout that the disk would have. Its partitions have neither number nor PARTUUID. */
export function rehearsedLayout({ parts }: Rehearsal): Layout {
  const partitions = parts.map(({ name, offset, bytes }) => [
    name,
    { role: name, number: 0, offset, bytes, uuid: '' },
  ])
  return { label: 'gpt', partitions: Object.fromEntries(partitions) as Layout['partitions'] } // whole: parseRehearsal
}
