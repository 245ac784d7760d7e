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
}

export const BOOTSTATE_BYTES = 1024 * 1024
/** FAT32, which UEFI wants on a fixed disk, begins with 65,525 clusters. */
const SMALLEST_ESP_BYTES = 33 * 1024 * 1024
/** UEFI 2.10 §5.3.3: firmware looks for it by this type, not by its name. */
const ESP_TYPE = 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B'

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
  const problems = [
    ...missingRoles(found),
    ...doubleRoles(found),
    ...sizeProblems(found),
    ...typeProblems(partitions),
    ...placeProblems(partitions),
    ...uuidProblems(found),
  ]
  if (problems.length > 0) throw invalid(origin, problems)
  const byRole = Object.fromEntries(found.map((partition) => [partition.role, partition]))
  return { label, partitions: byRole as Layout['partitions'] } // complete: missingRoles found none
}

function toPartition(entry: SfdiskPartition, sectorBytes: number): Partition[] {
  const role = ALL_ROLES.find((known) => known === entry.name)
  if (role === undefined) return []
  return [
    {
      role,
      number: Number(/\d+$/.exec(entry.node)?.[0]),
      offset: entry.start * sectorBytes,
      bytes: entry.size * sectorBytes,
      uuid: entry.uuid.toLowerCase(),
    },
  ]
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

/** What is written to one partition must not be in another: a damaged table may say that the slot that runs is elsewhere too. */
function placeProblems(entries: readonly SfdiskPartition[]): string[] {
  const inOrder = [...entries].sort((one, other) => one.start - other.start)
  return inOrder.flatMap(({ node, start, size }, index) => {
    const next = inOrder[index + 1]
    const problems =
      start > 0 && size > 0 && /\D[1-9]\d{0,3}$/.test(node) ? [] : [`${node} has no place on the disk`]
    if (next !== undefined && start + size > next.start) problems.push(`${node} and ${next.node} overlap`)
    return problems
  })
}

/** A running system finds its partitions by them. */
function uuidProblems(found: readonly Partition[]): string[] {
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
