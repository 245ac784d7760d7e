import { type BootState, initialBootState, type SlotName } from '../../src/model/boot-state.ts'
import type { Facts } from '../../src/model/facts.ts'
import type { Layout, Partition, Role } from '../../src/model/layout.ts'
import { ROLES } from '../../src/model/layout.ts'
import { emptyRecords, type ImageRecord } from '../../src/model/records.ts'

const MiB = 1024 * 1024

export const LAYOUT: Layout = {
  label: 'gpt',
  partitions: Object.fromEntries(
    ROLES.map((role, index): [Role, Partition] => [
      role,
      { role, number: index + 1, offset: (index + 1) * MiB, bytes: MiB, uuid: `uuid-${role}` },
    ]),
  ) as Record<Role, Partition>,
}

/** An image whose digest is its version: easy to read in a failing test. */
export function imageOf(version: string): ImageRecord {
  return {
    digest: version,
    bytes: 1000,
    fs: 'squashfs',
    version,
    epoch: 0,
    writtenAt: '2026-01-01T00:00:00Z',
  }
}

interface FactsParts {
  a: string
  b?: string
  boot?: BootState
  booted?: SlotName
  trial?: SlotName
}

export function factsOf({ a, b, boot = initialBootState('a'), booted = 'a', trial }: FactsParts): Facts {
  const slots = { a: imageOf(a), b: b === undefined ? null : imageOf(b) }
  const records = { ...emptyRecords('test'), slots }
  const image = trial === undefined ? null : slots[trial]
  return {
    disk: 'test.img',
    live: false,
    layout: LAYOUT,
    boot,
    booted,
    sequenceAtBoot: null,
    loaderSeesState: true,
    takeover: null,
    records: {
      ...records,
      trial:
        trial === undefined || image === null
          ? null
          : {
              slot: trial,
              digest: image.digest,
              version: image.version,
              armedAt: image.writtenAt,
              update: true,
            },
    },
  }
}
