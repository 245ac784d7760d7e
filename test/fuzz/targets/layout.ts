import { BOOTSTATE_BYTES, type Layout, LOADER_ROLES, parseLayout, ROLES } from '../../../src/model/layout.ts'
import { mutateJson } from '../json.ts'
import { accepted, defineTarget, requireThat, type TargetEntry } from '../target.ts'

/** What `sfdisk --json` prints of a disk of ours; util-linux 2.38. */
function printed(names: readonly string[], more: object = {}): Buffer {
  const partitions = names.map((name, index) => ({
    ...{ node: `/dev/vda${index + 1}`, start: 2048 * (index + 1), size: 2048, name },
    type: '0FC63DAF-8483-4772-8E79-3D69D8477DE4',
    uuid: `7A5D0C3E-0000-4000-8000-00000000000${index}`,
  }))
  const table = {
    label: 'gpt',
    id: '7A5D0C3E-0000-4000-8000-0000000000FF',
    device: '/dev/vda',
    unit: 'sectors',
  }
  return Buffer.from(
    JSON.stringify({
      partitiontable: { ...table, firstlba: 34, lastlba: 99_999, sectorsize: 512, ...more, partitions },
    }),
  )
}

const BIOS = ['bios-boot', ...ROLES]

/** What everybody relies on who writes to a partition by its offset, or finds it by its name under /dev/disk. */
export function requireSafeLayout(layout: Layout): void {
  const partitions = Object.values(layout.partitions)
  requireThat(
    LOADER_ROLES.some((role) => layout.partitions[role]),
    'no place for a loader',
  )
  requireThat(
    ROLES.every((role) => layout.partitions[role].role === role),
    'a role is missing',
  )
  for (const { role, number, offset, bytes, uuid } of partitions) {
    const isNumbered = Number.isSafeInteger(number) && number >= 1
    const isPlaced = Number.isSafeInteger(offset) && offset > 0 && Number.isSafeInteger(bytes) && bytes > 0
    requireThat(isNumbered && isPlaced, `${role} is number ${number}, ${bytes} bytes at ${offset}`)
    requireThat(/^[0-9a-f-]+$/.test(uuid), `${role} has the PARTUUID ${JSON.stringify(uuid)}`)
  }
  const inOrder = [...partitions].sort((one, other) => one.offset - other.offset)
  for (const [index, { role, offset, bytes }] of inOrder.entries()) {
    const next = inOrder[index + 1]
    requireThat(next === undefined || offset + bytes <= next.offset, `${role} and ${next?.role} overlap`)
  }
  requireThat(
    new Set(partitions.map(({ uuid }) => uuid)).size === partitions.length,
    'two roles have one PARTUUID',
  )
  requireThat(
    layout.partitions['rootfs-a'].bytes === layout.partitions['rootfs-b'].bytes,
    'slots of two lengths',
  )
  requireThat(layout.partitions.bootstate.bytes >= BOOTSTATE_BYTES, 'a short bootstate partition')
}

export const layoutJson: TargetEntry = {
  name: 'layout-json',
  weight: 250_000,
  slowness: 2,
  open: () =>
    defineTarget({
      name: 'layout-json',
      seeds: [printed(BIOS), printed([...BIOS, 'data']), printed([...BIOS].reverse(), { sectorsize: 4096 })],
      mutate: mutateJson,
      decode: (input) => parseLayout(input.toString(), '/dev/vda'),
      codes: ['LAYOUT_INVALID'],
      verdict(layout, input) {
        requireSafeLayout(layout)
        return accepted(`${input.includes('"data"')} ${layout.partitions['bios-boot']?.offset}`)
      },
    }),
}
