import * as v from 'valibot'
import { PineError } from '../core/error.ts'
import type { SlotName } from './boot-state.ts'

/** What a partition is for: its name on GPT. */
export const ROLES = ['bios-boot', 'bootstate', 'swap', 'rootfs-a', 'rootfs-b', 'state'] as const
export type Role = (typeof ROLES)[number]

export interface Partition {
  role: Role
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
  partitions: Record<Role, Partition>
}

export const BOOTSTATE_BYTES = 1024 * 1024

export function slotPartition(layout: Layout, slot: SlotName): Partition {
  return layout.partitions[`rootfs-${slot}`]
}

/** The shape of `sfdisk --json` (util-linux 2.36 or later), as far as it is read. */
const SfdiskJson = v.object({
  partitiontable: v.object({
    label: v.string(),
    sectorsize: v.optional(v.number(), 512),
    partitions: v.optional(
      v.array(
        v.object({
          node: v.string(),
          start: v.number(),
          size: v.number(),
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
  const parsed = v.safeParse(SfdiskJson, JSON.parse(json))
  if (!parsed.success) throw invalid(origin, ['sfdisk printed something else than a partition table'])
  const { label, sectorsize, partitions } = parsed.output.partitiontable
  // Type ee of an MBR says that a GPT is there; sfdisk shows it where neither copy of that can be used.
  if (label === 'dos' && partitions.some(({ type }) => type === 'ee'))
    throw invalid(origin, ['its GPT cannot be read: the disk is shorter than its table, or the table is damaged'])
  if (label !== 'gpt') throw invalid(origin, [`its label is ${label}, expected gpt`])
  const found = partitions.flatMap((entry) => toPartition(entry, sectorsize))
  const problems = [...missingRoles(found), ...doubleRoles(found), ...sizeProblems(found)]
  if (problems.length > 0) throw invalid(origin, problems)
  const byRole = Object.fromEntries(found.map((partition) => [partition.role, partition]))
  return { label, partitions: byRole as Record<Role, Partition> } // complete: missingRoles found none
}

function toPartition(entry: SfdiskPartition, sectorBytes: number): Partition[] {
  const role = ROLES.find((known) => known === entry.name)
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
  return ROLES.filter((role) => !found.some((partition) => partition.role === role)).map(
    (role) => `no partition is named ${role}`,
  )
}

function doubleRoles(found: Partition[]): string[] {
  return ROLES.filter((role) => found.filter((partition) => partition.role === role).length > 1).map(
    (role) => `more than one partition is named ${role}`,
  )
}

function sizeProblems(found: Partition[]): string[] {
  const bytesOf = (role: Role) => found.find((partition) => partition.role === role)?.bytes
  const problems: string[] = []
  const [a, b, bootstate] = [bytesOf('rootfs-a'), bytesOf('rootfs-b'), bytesOf('bootstate')]
  if (a !== b) problems.push(`rootfs-a has ${a} bytes and rootfs-b ${b}; both slots must be the same size`)
  if (bootstate !== undefined && bootstate < BOOTSTATE_BYTES) {
    problems.push(`bootstate has ${bootstate} bytes, ${BOOTSTATE_BYTES} are needed`)
  }
  return problems
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
