import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { encodeGpt, type GptTable } from '../../src/model/gpt.ts'
import { addEntries, freeNumbers, renamed, resized, withoutEntry } from '../../src/model/gpt-edit.ts'
import { encodeEntry, type GptEntry } from '../../src/model/gpt-entry.ts'
import { parseLayout } from '../../src/model/layout.ts'
import { openWorkshop, type Workshop } from '../support/cli.ts'
import {
  BIOS_BOOT,
  carvedEntries,
  DEBIAN,
  type DiskEnds,
  endsOf,
  LINUX,
  MIB,
  makeDisk,
  parse,
  SECTOR,
  sfdisk,
  writePieces,
} from './gpt-disk.ts'

let shop: Workshop
let disk: string

beforeEach(() => {
  shop = openWorkshop()
  disk = shop.path('disk')
})
afterEach(() => shop.close())

const BACKUP_HEADER = 128 * MIB - SECTOR

/** Writes both copies of it; returns what sfdisk says then. */
function write(table: GptTable): { partitiontable: any } {
  const { primary, backup } = encodeGpt(table)
  writePieces(disk, [primary.entries, primary.header, backup.entries, backup.header])
  return JSON.parse(sfdisk(disk))
}

const NAMED = `label: gpt
label-id: 00112233-4455-6677-8899-AABBCCDDEEFF
first-lba: 34
start=34, size=2014, type=${BIOS_BOOT}, name="BIOS boot"
5: start=2MiB, size=3MiB, type=${LINUX}, name="Wurzel \u00e4", attrs="LegacyBIOSBootable,GUID:63", uuid=0A0B0C0D-0E0F-1011-1213-141516171819
`

describe('a table that sfdisk made', () => {
  test('is read as sfdisk reads it', () => {
    makeDisk(disk, NAMED)
    const table = parse(endsOf(disk))
    const { partitiontable: real } = JSON.parse(sfdisk(disk))
    expect(table).toMatchObject({
      diskGuid: '00112233-4455-6677-8899-aabbccddeeff',
      firstUsable: 34,
      lastUsable: real.lastlba,
      lastLba: 128 * 2048 - 1,
      entryCount: 128,
      intact: 'both',
    })
    const found = table.entries.map((entry) => ({
      ...{ node: `${disk}${entry.number}`, type: entry.typeGuid.toUpperCase(), name: entry.name },
      ...{ uuid: entry.uniqueGuid.toUpperCase(), start: entry.firstLba },
      size: entry.lastLba - entry.firstLba + 1,
    }))
    expect(real.partitions).toMatchObject(found)
    expect(found.map(({ name }) => name)).toEqual(['BIOS boot', 'Wurzel \u00e4'])
    // UEFI 2.10 §5.3.3: bit 2 is for old BIOSes, the upper 16 are for whoever owns the type.
    expect(table.entries[1]?.attributes).toBe((1n << 63n) | 4n)
    expect(encodeEntry(table.entries[0] as GptEntry).toString('latin1', 0, 16)).toBe('Hah!IdontNeedEFI')
  })

  test.each([
    ['Debian\u2019s', DEBIAN],
    ['with names', NAMED],
    ['short', `table-length: 60\n${NAMED}`],
    ['without partitions', 'label: gpt\n'],
  ])('is written back bit for bit: %s', (_, script) => {
    makeDisk(disk, script.replace(/^(table-length.*\n)(label.*\n)/, '$2$1'))
    const { head, tail, bytes } = endsOf(disk)
    const { primary, backup } = encodeGpt(parse({ head, tail, bytes }))
    for (const { offset, bytes: piece } of [primary.header, primary.entries])
      expect(head.subarray(offset, offset + piece.length).equals(piece)).toBe(true)
    for (const { offset, bytes: piece } of [backup.header, backup.entries]) {
      const at = offset - (bytes - tail.length)
      expect(tail.subarray(at, at + piece.length).equals(piece)).toBe(true)
    }
  })

  test('keeps what is not known here: bytes behind a name, in an unused entry, behind the header', () => {
    makeDisk(disk)
    const odd = parse(endsOf(disk))
    odd.raw.array.fill(0x5a, 2 * 128 + 16, 3 * 128)
    odd.raw.header.fill(0x5a, 400)
    write(addEntries(odd, [{ ...(carvedEntries()[0] as GptEntry), number: 9, name: 'x\0y' }]))
    const { head, tail, bytes } = endsOf(disk)
    const { primary } = encodeGpt(parse({ head, tail, bytes }))
    expect(head.subarray(512, 1024).equals(primary.header.bytes)).toBe(true)
    expect(head.subarray(1024, 1024 + 16384).equals(primary.entries.bytes)).toBe(true)
    expect(head[1000]).toBe(0x5a)
    expect(head[1024 + 2 * 128 + 20]).toBe(0x5a)
    expect(parse({ head, tail, bytes }).entries.at(-1)?.name).toBe('x\0y')
  })

  test('with sectors of 4096 bytes as well', () => {
    writeFileSync(disk, Buffer.alloc(64 * MIB))
    const answers = 'g\nn\n1\n\n+4M\nn\n7\n\n+8M\nx\nn\n7\nstate\nr\nw\n'
    execFileSync('fdisk', ['--wipe=never', '-b', '4096', disk], { input: answers, stdio: 'pipe' })
    const { head, tail, bytes } = endsOf(disk)
    const table = parse({ head, tail, bytes }, 4096)
    expect(table.entries.map(({ number, name, firstLba }) => [number, name, firstLba])).toEqual([
      [1, '', 256],
      [7, 'state', 1280],
    ])
    expect(table).toMatchObject({ arrayLba: { primary: 2 }, intact: 'both', lastLba: 16383 })
    const { primary } = encodeGpt(table)
    expect(primary.entries).toMatchObject({ offset: 8192 })
    expect(head.subarray(4096, 8192).equals(primary.header.bytes)).toBe(true)
    expect(() => parse({ head, tail, bytes })).toThrow('there is no header in sector 1')
  })
})

describe('a table that we changed is one for sfdisk', () => {
  const names = ({ partitiontable }: { partitiontable: any }) =>
    partitiontable.partitions.map(({ node, name }: any) => [Number(node.slice(disk.length)), name ?? ''])

  test('entries are added to free numbers, others stay as they are', () => {
    makeDisk(disk)
    const table = parse(endsOf(disk))
    const before = JSON.parse(sfdisk(disk)).partitiontable.partitions
    expect(freeNumbers(table, 5)).toEqual([3, 4, 5, 6, 7])
    const after = write(addEntries(table, carvedEntries()))
    expect(after.partitiontable.partitions.slice(0, 2)).toEqual(before)
    expect(names(after)).toEqual([
      ...[
        [1, ''],
        [2, ''],
        [3, 'bootstate'],
      ],
      ...[
        [4, 'rootfs-a'],
        [5, 'rootfs-b'],
        [6, 'swap'],
        [7, 'state'],
      ],
    ])
    expect(after.partitiontable.partitions[6]).toMatchObject({
      start: 57 * 2048,
      size: 32 * 2048,
      uuid: '1234ABCD-0000-4000-8000-000000000007',
    })
  })

  test('is a layout with an old system in it, until that is dropped', () => {
    makeDisk(disk)
    const table = parse(endsOf(disk))
    const carved = addEntries(renamed(table, 1, 'bios-boot'), carvedEntries())
    write(carved)
    const layout = parseLayout(sfdisk(disk), disk)
    const [, root] = table.entries
    expect(layout.old).toEqual({
      number: 2,
      offset: 2 * MIB,
      bytes: ((root?.lastLba ?? 0) + 1) * SECTOR - 2 * MIB,
      uuid: root?.uniqueGuid,
    })
    expect(layout.partitions.state).toMatchObject({ number: 7, offset: 57 * MIB, bytes: 32 * MIB })

    write(resized(withoutEntry(parse(endsOf(disk)), 2), 7, table.lastUsable))
    const later = parseLayout(sfdisk(disk), disk)
    expect(later.old).toBeUndefined()
    expect(later.partitions.state).toMatchObject({
      offset: 57 * MIB,
      bytes: (table.lastUsable + 1) * SECTOR - 57 * MIB,
    })
    expect(execFileSync('sfdisk', ['--verify', disk], { encoding: 'utf8' })).toContain('No errors detected')
  })

  test('adding and taking away again changes no bit', () => {
    makeDisk(disk, NAMED)
    const table = parse(endsOf(disk))
    const backwards = addEntries(table, carvedEntries(16, 6).reverse())
    expect(backwards.entries.map(({ number }) => number)).toEqual([1, 5, 6, 7, 8, 9, 10])
    const back = [6, 7, 8, 9, 10].reduce(withoutEntry, addEntries(table, carvedEntries(16, 6)))
    expect(encodeGpt(back)).toEqual(encodeGpt(table))
  })

  const one = { ...(carvedEntries()[0] as GptEntry), number: 3 }
  test.each<[string, (table: GptTable) => unknown, string]>([
    ['a number that is taken', (table) => addEntries(table, [{ ...one, number: 2 }]), 'number 2 is taken'],
    [
      'one number twice',
      (table) => addEntries(table, [one, { ...one, uniqueGuid: LINUX }]),
      'number 3 is taken',
    ],
    ['number 0', (table) => addEntries(table, [{ ...one, number: 0 }]), 'no number 0, it has 128'],
    ['number 129', (table) => addEntries(table, [{ ...one, number: 129 }]), 'no number 129'],
    ['half a number', (table) => addEntries(table, [{ ...one, number: 3.5 }]), 'no number 3.5'],
    [
      'a PARTUUID twice',
      (table) => addEntries(table, [one, { ...one, number: 4, uniqueGuid: one.uniqueGuid.toUpperCase() }]),
      'there is a partition 1234abcd',
    ],
    ['a start in the table', (table) => addEntries(table, [{ ...one, firstLba: 33 }]), 'would be at 33'],
    ['an end before the start', (table) => addEntries(table, [{ ...one, lastLba: 2048 }]), 'to 2048'],
    ['half a sector', (table) => addEntries(table, [{ ...one, lastLba: one.lastLba + 0.5 }]), 'would be at'],
    ['an end in the backup', (table) => resized(table, 2, table.lastUsable + 1), 'would be at 4096'],
    ['to resize nothing', (table) => resized(table, 3, 8191), 'it has no partition 3'],
    ['to drop nothing', (table) => withoutEntry(table, 3), 'it has no partition 3'],
  ])('refused: %s', (_, change, problem) => {
    makeDisk(disk)
    expect(() => change(parse(endsOf(disk)))).toThrow(problem)
  })

  test('what cannot be written down is a mistake of ours', () => {
    expect(() => encodeEntry({ ...one, name: 'n'.repeat(37) })).toThrow('at most 36 units')
    expect(() => encodeEntry({ ...one, uniqueGuid: 'state' })).toThrow('not a GUID: state')
  })
})

describe('damage', () => {
  let ends: DiskEnds
  beforeEach(() => {
    makeDisk(disk, NAMED)
    ends = endsOf(disk)
  })
  const copyOf = ({ head, tail, bytes }: DiskEnds) => ({
    ...{ head: Buffer.from(head), tail: Buffer.from(tail), bytes },
  })
  const tailAt = (offset: number) => offset - (ends.bytes - ends.tail.length)

  test('any changed byte of one copy makes the other one count; of both, none', () => {
    const whole = parse(ends)
    const used = [...range(92, 512), ...range(16384, 1024)]
    const other = [...range(92, BACKUP_HEADER), ...range(16384, BACKUP_HEADER - 16384)].map(tailAt)
    fc.assert(
      fc.property(
        fc.constantFrom(...used),
        fc.constantFrom(...other),
        fc.integer({ min: 1, max: 255 }),
        (at, otherAt, flip) => {
          const hit = copyOf(ends)
          hit.head[at] = (hit.head[at] ?? 0) ^ flip
          expect(parse(hit)).toMatchObject({ intact: 'backup', entries: whole.entries })
          const both = copyOf(hit)
          both.tail[otherAt] = (both.tail[otherAt] ?? 0) ^ flip
          expect(() => parse(both)).toThrow(
            /^the partition table cannot be used: the table: .*; its backup: /,
          )
          both.head.set(ends.head)
          expect(parse(both)).toMatchObject({ intact: 'primary', entries: whole.entries })
        },
      ),
      { numRuns: 400 },
    )
  })

  test('a table whose backup was lost is written whole', () => {
    const hit = copyOf(ends)
    hit.tail.fill(0)
    expect(encodeGpt(parse(hit))).toEqual(encodeGpt(parse(ends)))
    hit.tail.set(ends.tail)
    hit.head.fill(0, 512, 1024)
    const mended = encodeGpt(parse(hit))
    expect(mended).toEqual(encodeGpt(parse(ends)))
  })

  test('a backup of another table does not count', () => {
    const { backup } = encodeGpt(withoutEntry(parse(ends), 5))
    writePieces(disk, [backup.entries, backup.header])
    expect(parse(endsOf(disk))).toMatchObject({ intact: 'primary', entries: parse(ends).entries })
  })

  /** With other values in the header of the primary, and the right checksum of them; the backup gone. */
  const withHeader = (edit: Partial<GptTable>) => {
    const { primary } = encodeGpt({ ...parse(ends), ...edit })
    const hit = copyOf(ends)
    primary.entries.bytes.copy(hit.head, 1024)
    primary.header.bytes.copy(hit.head, 512)
    hit.tail.fill(0)
    return hit
  }
  const usual = { primary: 2, backup: 262111 }

  test.each<[string, () => unknown, string]>([
    [
      'no protective MBR',
      () => parse({ ...ends, head: Buffer.alloc(MIB) }),
      'does not say that there is a GPT',
    ],
    [
      'an MBR whose GPT starts elsewhere',
      () => {
        const hit = copyOf(ends)
        hit.head.writeUInt32LE(2, 446 + 8)
        return parse(hit)
      },
      'does not say that there is a GPT',
    ],
    [
      'an MBR of another kind',
      () => {
        const hit = copyOf(ends)
        hit.head[446 + 4] = 0x83
        return parse(hit)
      },
      'does not say that there is a GPT',
    ],
    [
      'an MBR without its signature',
      () => {
        const hit = copyOf(ends)
        hit.head[511] = 0
        return parse(hit)
      },
      'does not say that there is a GPT',
    ],
    [
      'a partition that ends before it begins',
      () => {
        const [entry] = parse(ends).entries
        return parse(withHeader({ entries: entry ? [{ ...entry, lastLba: entry.firstLba - 1 }] : [] }))
      },
      'partition 1 is not where partitions may be',
    ],
    ['no entries', () => parse(withHeader({ entryCount: 0 })), 'its 0 entries are out of reach'],
    [
      'a backup in place of the primary',
      () => {
        const hit = copyOf(ends)
        ends.tail.copy(hit.head, SECTOR, ends.tail.length - SECTOR)
        hit.tail.fill(0)
        return parse(hit)
      },
      'its header is that of sector 262143',
    ],
    ['sectors of 520 bytes', () => parse(ends, 520), 'sectors of 520 bytes'],
    ['nothing', () => parse({ ...ends, head: Buffer.alloc(0) }), 'does not say'],
    [
      'a disk that was enlarged',
      () => parse({ ...ends, bytes: 256 * MIB, tail: Buffer.alloc(65536) }),
      'it ends at sector 262143, the disk at sector 524287',
    ],
    [
      'a primary that begins in partitions',
      () => parse(withHeader({ firstUsable: 33 })),
      'where partitions may be',
    ],
    [
      'a partition before the first sector for them',
      () => parse(withHeader({ firstUsable: 2048 })),
      'partition 1 is not where partitions may be',
    ],
    [
      'a partition behind the last',
      () => parse(withHeader({ lastUsable: 10000 })),
      'partition 5 is not where partitions may be',
    ],
    ['no room for a backup', () => parse(withHeader({ lastUsable: 262112 })), 'where partitions may be'],
    [
      'entries out of reach',
      () => parse(withHeader({ arrayLba: { ...usual, primary: 100_000 } })),
      'its 128 entries are out of reach, in sector 100000',
    ],
    [
      'entries without end',
      () => parse(withHeader({ arrayLba: { ...usual, primary: Number.MAX_SAFE_INTEGER } })),
      'out of reach',
    ],
  ])('%s is refused', (_, act, problem) => {
    expect(act).toThrow(problem)
    expect(act).toThrow(expect.objectContaining({ code: 'LAYOUT_INVALID' }))
  })

  test.each([91, 513])('a header of %i bytes is refused', (size) => {
    const table = parse(ends)
    table.raw.header.writeUInt32LE(size, 12)
    const { primary } = encodeGpt(table)
    const hit = copyOf(ends)
    primary.header.bytes.copy(hit.head, SECTOR)
    hit.tail.fill(0)
    expect(() => parse(hit)).toThrow(`its header has ${size} bytes`)
  })

  test('entries of another length are refused, as the kernel refuses them', () => {
    const { primary } = encodeGpt(parse(ends))
    primary.header.bytes.writeUInt32LE(256, 84)
    const table = parse(ends)
    const again = encodeGpt({ ...table, raw: { ...table.raw, header: primary.header.bytes } })
    const hit = copyOf(ends)
    again.primary.header.bytes.copy(hit.head, 512)
    hit.tail.fill(0)
    expect(() => parse(hit)).toThrow('its entries have 256 bytes, not 128')
  })
})

function range(count: number, from: number): number[] {
  return Array.from({ length: count }, (_, index) => from + index)
}
