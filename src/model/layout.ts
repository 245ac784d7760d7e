import * as v from 'valibot'
import { PineError } from '../core/error.ts'
import { parseJson } from '../core/json.ts'
import type { SlotName } from './boot-state.ts'

/** What a partition is for: its name on GPT. Every disk has each of these once. */
export const ROLES = ['bootstate', 'swap', 'rootfs-a', 'rootfs-b', 'state'] as const
export type Role = (typeof ROLES)[number]

/** Where firmware finds the loader: BIOS in one, UEFI in the other. A disk with both boots either way. */
export const LOADER_ROLES = ['bios-boot', 'esp'] as const
export type LoaderRole = (typeof LOADER_ROLES)[number]

const ALL_ROLES = [...LOADER_ROLES, ...ROLES]

export interface Partition {
  role: Role | LoaderRole
  /** 1-based, as the kernel and GRUB count. */
  number: number
  offset: number
  bytes: number
  /** PARTUUID, lower case. */
  uuid: string
}

/** The partition table of a server. */
export interface Layout {
  label: 'gpt'
  /** Of the loader's, at least one. */
  partitions: Record<Role, Partition> & Partial<Record<LoaderRole, Partition>>
  /** During a takeover: that of the old system, which others lie in. */
  old?: Omit<Partition, 'role'>
}

export const BOOTSTATE_BYTES = 1024 * 1024
/** FAT32, which UEFI wants on a fixed disk, begins with 65,525 clusters. */
export const SMALLEST_ESP_BYTES = 33 * 1024 * 1024
/** UEFI 2.10 §5.3.3: firmware looks for it by this type, not by its name. */
export const ESP_TYPE = 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B'

export function slotPartition(layout: Layout, slot: SlotName): Partition {
  return layout.partitions[`rootfs-${slot}`]
}

/** Positions in bytes then are exact. */
const Sectors = v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(2 ** 40))

/** The shape of `sfdisk --json` (util-linux 2.36 or later), as far as it is read. */
const SfdiskJson = v.object({
  partitiontable: v.object({
    label: v.string(),
    sectorsize: v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(1), v.maxValue(4096)), 512),
    partitions: v.optional(
      v.array(
        v.object({
          node: v.string(),
          start: Sectors,
          size: Sectors,
          type: v.string(),
          uuid: v.optional(v.string(), ''),
          name: v.optional(v.string(), ''),
        }),
      ),
      [],
    ),
  }),
})
type SfdiskPartition = v.InferOutput<typeof SfdiskJson>['partitiontable']['partitions'][number]

/**
 * Reads the output of `sfdisk --json`. Partitions without a role are left alone.
 * Throws `LAYOUT_INVALID` with every problem found.
 */
export function parseLayout(json: string, origin: string): Layout {
  const parsed = v.safeParse(SfdiskJson, parseJson(json))
  if (!parsed.success) throw invalid(origin, ['sfdisk printed something else than a partition table'])
  const { label, sectorsize, partitions } = parsed.output.partitiontable
  // Type ee of an MBR says that a GPT is there; sfdisk shows it where neither copy of that can be used.
  if (label === 'dos' && partitions.some(({ type }) => type === 'ee'))
    throw invalid(origin, [
      'its GPT cannot be read: the disk is shorter than its table, or the table is damaged',
    ])
  if (label !== 'gpt') throw invalid(origin, [`its label is ${label}, expected gpt`])
  const found = partitions.flatMap((entry) => toPartition(entry, sectorsize))
  const [outer, ...moreOuter] = outerEntries(partitions)
  const old = outer && toPlace(outer, sectorsize)
  const problems = [
    ...missingRoles(found),
    ...doubleRoles(found),
    ...sizeProblems(found),
    ...typeProblems(partitions),
    ...placeProblems(partitions, outer),
    ...moreOuter.map(({ node }) => `partitions of pine-update are in ${outer?.node} and in ${node}`),
    ...uuidProblems(old === undefined ? found : [...found, { role: 'the old system', ...old }]),
  ]
  if (problems.length > 0) throw invalid(origin, problems)
  const byRole = Object.fromEntries(found.map((partition) => [partition.role, partition]))
  const complete = byRole as Layout['partitions'] // missingRoles found none
  return { label, partitions: complete, ...(old !== undefined && { old }) }
}

function toPartition(entry: SfdiskPartition, sectorBytes: number): Partition[] {
  const role = ALL_ROLES.find((known) => known === entry.name)
  return role === undefined ? [] : [{ role, ...toPlace(entry, sectorBytes) }]
}

function toPlace({ node, start, size, uuid }: SfdiskPartition, sectorBytes: number): Omit<Partition, 'role'> {
  return {
    number: Number(/\d+$/.exec(node)?.[0]),
    offset: start * sectorBytes,
    bytes: size * sectorBytes,
    uuid: uuid.toLowerCase(),
  }
}

function missingRoles(found: Partition[]): string[] {
  const has = (role: Partition['role']) => found.some((partition) => partition.role === role)
  const problems = ROLES.filter((role) => !has(role)).map((role) => `no partition is named ${role}`)
  if (!LOADER_ROLES.some(has)) problems.unshift(`no partition is named ${LOADER_ROLES.join(' or ')}`)
  return problems
}

function doubleRoles(found: Partition[]): string[] {
  return ALL_ROLES.filter((role) => found.filter((partition) => partition.role === role).length > 1).map(
    (role) => `more than one partition is named ${role}`,
  )
}

function sizeProblems(found: Partition[]): string[] {
  const bytesOf = (role: Partition['role']) => found.find((partition) => partition.role === role)?.bytes
  const problems: string[] = []
  const [a, b, bootstate, esp] = [
    bytesOf('rootfs-a'),
    bytesOf('rootfs-b'),
    bytesOf('bootstate'),
    bytesOf('esp'),
  ]
  if (a !== undefined && b !== undefined && a !== b)
    problems.push(`rootfs-a has ${a} bytes and rootfs-b ${b}; both slots must be the same size`)
  if (bootstate !== undefined && bootstate < BOOTSTATE_BYTES) {
    problems.push(`bootstate has ${bootstate} bytes, ${BOOTSTATE_BYTES} are needed`)
  }
  if (esp !== undefined && esp < SMALLEST_ESP_BYTES) {
    problems.push(`esp has ${esp} bytes, ${SMALLEST_ESP_BYTES} are needed`)
  }
  return problems
}

function typeProblems(entries: SfdiskPartition[]): string[] {
  return entries
    .filter(({ name, type }) => name === 'esp' && type.toUpperCase() !== ESP_TYPE)
    .map(({ type }) => `esp has the type ${type}, expected ${ESP_TYPE}`)
}

/** Entries without a role that a partition with one lies in: during a takeover that of the old system, else none. */
function outerEntries(entries: readonly SfdiskPartition[]): SfdiskPartition[] {
  const carved = entries.filter(isCarved)
  return entries.filter((outer) => !isOurs(outer) && carved.some((inner) => isInside(inner, outer)))
}

function isOurs({ name }: SfdiskPartition): boolean {
  return ALL_ROLES.some((role) => role === name)
}

/** What firmware looks for is never carved out of a file. */
function isCarved({ name }: SfdiskPartition): boolean {
  return ROLES.some((role) => role === name)
}

/** Not at its very start: there the old file system describes itself. */
function isInside(inner: SfdiskPartition, outer: SfdiskPartition): boolean {
  return inner.start > outer.start && inner.start + inner.size <= outer.start + outer.size
}

/** What is written to one partition must not be in another: a damaged table may say that the slot that runs is elsewhere too. */
function placeProblems(entries: readonly SfdiskPartition[], outer: SfdiskPartition | undefined): string[] {
  const inOrder = entries.filter((entry) => entry !== outer).sort((one, other) => one.start - other.start)
  const unplaced = entries.filter(
    ({ node, start, size }) => start <= 0 || size <= 0 || !/\D[1-9]\d{0,3}$/.test(node),
  )
  return [
    ...unplaced.map(({ node }) => `${node} has no place on the disk`),
    ...inOrder.flatMap((entry, index) => overlap(entry, inOrder[index + 1])),
    ...inOrder.flatMap((entry) =>
      outer && isCarved(entry) && isInside(entry, outer) ? [] : overlap(outer, entry),
    ),
  ]
}

function overlap(one: SfdiskPartition | undefined, other: SfdiskPartition | undefined): string[] {
  if (one === undefined || other === undefined) return []
  const isApart = one.start + one.size <= other.start || other.start + other.size <= one.start
  return isApart ? [] : [`${one.node} and ${other.node} overlap`]
}

/** A running system finds its partitions by them. */
function uuidProblems(found: readonly { role: string; uuid: string }[]): string[] {
  return found.flatMap(({ role, uuid }, index) => {
    if (!/^[0-9a-f-]+$/.test(uuid)) return [`${role} has no PARTUUID`]
    const other = found.slice(0, index).find((before) => before.uuid === uuid)
    return other === undefined ? [] : [`${other.role} and ${role} have the same PARTUUID`]
  })
}

function invalid(origin: string, problems: string[]): PineError {
  return new PineError(
    'LAYOUT_INVALID',
    `${origin} is not a layout for pine-update: ${problems.join('; ')}`,
    {
      hint: 'compare it with the scripts in layouts/',
    },
  )
}
