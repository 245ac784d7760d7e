import { closeSync, ftruncateSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { realHost } from '../../../src/host/real-host.ts'
import { readTable, writeTable } from '../../../src/host/sfdisk.ts'
import { parseLayout, ROLES } from '../../../src/model/layout.ts'
import { openDiskImage } from '../../../src/run/disk.ts'
import { mutateBytes } from '../bytes.ts'
import { few, type Random } from '../random.ts'
import { accepted, defineTarget, requireThat, type TargetEntry } from '../target.ts'
import { mutateLines } from '../text.ts'
import { requireSafeLayout } from './layout.ts'

const MIB = 1024 * 1024
export const DISK_BYTES = 16 * MIB
const SECTOR = 512
/** Protective MBR, header, 128 entries; and the same again, without the MBR, at the end. UEFI 2.10, 5.3. */
export const HEAD_BYTES = 34 * SECTOR
export const TAIL_BYTES = 33 * SECTOR
const ENTRIES_BYTES = 32 * SECTOR
const ENTRY_BYTES = 128

const uuid = (index: number): string => `7A5D0C3E-0000-4000-8000-00000000000${index}`
const SCRIPT = `label: gpt
label-id: ${uuid(9)}
first-lba: 2048
name=bios-boot, size=1MiB, type=21686148-6449-6E6F-744E-656564454649, uuid=${uuid(1)}
name=bootstate, size=1MiB, uuid=${uuid(2)}
name=swap, size=1MiB, type=0657FD6D-A4AB-43C4-84E5-0933C84B4F4F, uuid=${uuid(3)}
name=rootfs-a, size=4MiB, uuid=${uuid(4)}
name=rootfs-b, size=4MiB, uuid=${uuid(5)}
name=state, uuid=${uuid(6)}
`

/** A file as long as a small disk, which takes no space. */
function openDisk(dir: string) {
  const path = join(dir, 'disk.img')
  const file = openSync(path, 'w+')
  const write = (bytes: Buffer): void => {
    ftruncateSync(file, 0)
    ftruncateSync(file, DISK_BYTES)
    writeSync(file, bytes.subarray(0, HEAD_BYTES), 0, Math.min(bytes.length, HEAD_BYTES), 0)
    const tail = bytes.subarray(HEAD_BYTES, HEAD_BYTES + TAIL_BYTES)
    writeSync(file, tail, 0, tail.length, DISK_BYTES - TAIL_BYTES)
  }
  const read = (): Buffer => {
    const bytes = Buffer.alloc(HEAD_BYTES + TAIL_BYTES)
    readSync(file, bytes, 0, HEAD_BYTES, 0)
    readSync(file, bytes, HEAD_BYTES, TAIL_BYTES, DISK_BYTES - TAIL_BYTES)
    return bytes
  }
  const close = (): void => {
    closeSync(file)
    rmSync(dir, { recursive: true, force: true })
  }
  return { path, write, read, close }
}

/** Where a header and its entries are in the input. */
const COPIES = [
  { header: SECTOR, entries: 2 * SECTOR },
  { header: HEAD_BYTES + ENTRIES_BYTES, entries: HEAD_BYTES },
] as const

export function mutateTable(input: Buffer, random: Random, donor: Buffer): Buffer {
  const bytes = Buffer.alloc(HEAD_BYTES + TAIL_BYTES)
  input.copy(bytes)
  for (let left = few(random, 4); left > 0; left--) changeTable(bytes, random, donor)
  if (!random.once(4)) for (const copy of COPIES) sign(bytes, copy)
  return bytes
}

function changeTable(bytes: Buffer, random: Random, donor: Buffer): void {
  const { header, entries } = random.pick(COPIES)
  const used = bytes.subarray(entries, entries + 8 * ENTRY_BYTES)
  const changes: (() => void)[] = [
    () => void mutateBytes(bytes.subarray(header, header + 92), random, donor).copy(bytes, header, 0, 92),
    () => void mutateBytes(used, random, donor).copy(bytes, entries, 0, used.length),
    () => void mutateBytes(used, random, donor).copy(bytes, entries, 0, used.length),
    () => void mutateBytes(bytes.subarray(0, SECTOR), random, donor).copy(bytes, 0, 0, SECTOR),
    () => changeEntry(bytes, random, entries),
    () => changeEntry(bytes, random, entries),
    // Both copies alike, or the first one counts.
    () => void bytes.copy(bytes, HEAD_BYTES, 2 * SECTOR, HEAD_BYTES),
    () => void bytes.copy(bytes, 2 * SECTOR, HEAD_BYTES, HEAD_BYTES + ENTRIES_BYTES),
    () => void bytes.fill(0, header, header + SECTOR),
  ]
  random.pick(changes)()
}

/** Partition entries: type at 0, PARTUUID at 16, first and last sector at 32 and 40, name in UTF-16 at 56. */
function changeEntry(bytes: Buffer, random: Random, entries: number): void {
  const [one, other] = [random.below(7), random.below(7)].map((index) => entries + index * ENTRY_BYTES) as [
    number,
    number,
  ]
  const changes: (() => void)[] = [
    () => void bytes.copy(bytes, one + 16, other + 16, other + 32),
    () => void bytes.copy(bytes, one + 32, other + 32, other + 48),
    () => void bytes.copy(bytes, one + 56, other + 56, other + 128),
    () => void bytes.copy(bytes, one, other, other + ENTRY_BYTES),
    () => void bytes.writeBigUInt64LE(BigInt(random.below(32_768)), one + random.pick([32, 40])),
    () =>
      void bytes.write(
        random.pick([...ROLES, 'a"b', 'a\\b', '\n', '\ud800', '\u0000x', 'ä日', '\u001b[2J']),
        one + 56,
        'utf16le',
      ),
    () => void mutateBytes(bytes.subarray(one + 56, one + 128), random, bytes).copy(bytes, one + 56, 0, 72),
  ]
  random.pick(changes)()
}

/** Checksums of entries and header, so that what was changed counts. */
function sign(bytes: Buffer, { header, entries }: (typeof COPIES)[number]): void {
  bytes.writeUInt32LE(crc32(bytes.subarray(entries, entries + ENTRIES_BYTES)), header + 88)
  bytes.writeUInt32LE(0, header + 16)
  bytes.writeUInt32LE(crc32(bytes.subarray(header, header + 92)), header + 16)
}

/** What sfdisk makes of our layout. */
export async function tableSeed(): Promise<Buffer> {
  const disk = openDisk(mkdtempSync(join(tmpdir(), 'pine-fuzz-')))
  disk.write(Buffer.alloc(0))
  await writeTable(realHost(), disk.path, SCRIPT)
  const seed = disk.read()
  disk.close()
  return seed
}

const table: TargetEntry = {
  name: 'partition-table',
  weight: 5000,
  perRound: 500,
  slowness: 30,
  async open() {
    const disk = openDisk(mkdtempSync(join(tmpdir(), 'pine-fuzz-')))
    const host = realHost()
    disk.write(Buffer.alloc(0))
    await writeTable(host, disk.path, SCRIPT)
    return defineTarget({
      name: 'partition-table',
      seeds: [disk.read()],
      mutate: mutateTable,
      async decode(input) {
        disk.write(input)
        const { layout, open } = await openDiskImage(host, disk.path)
        for (const role of ROLES) await (await open(role, { writable: true })).close()
        if (layout === null) throw new Error('a disk without a layout')
        return layout
      },
      codes: ['LAYOUT_INVALID', 'NOT_A_PINE_DISK', 'DISK_TOO_SMALL'],
      verdict(layout) {
        requireSafeLayout(layout)
        return accepted(ROLES.map((role) => layout.partitions[role].number).join())
      },
      close: disk.close,
    })
  },
}

const SCRIPT_WORDS = [
  ...[
    'label: dos',
    'label: gpt',
    'label: mbr',
    'unit: sectors',
    'first-lba: 34',
    'last-lba: 1',
    'table-length: 4',
    'grain: 1',
  ],
  ...[
    'size=',
    'start=',
    'name=state',
    'name="a b"',
    'type=uefi',
    'type=L',
    'bootable',
    'attrs=',
    'uuid=',
    '+',
    ',',
    ';',
    '99999TiB',
  ],
  ...['sector-size: 4096', 'device: /dev/null', '1MiB', '-', '4294967296', '18446744073709551615'],
]

/** A layout as an operator writes it: sfdisk puts it on a disk of that size, and what comes out is a layout of ours or none. */
const script: TargetEntry = {
  name: 'layout-script',
  weight: 2000,
  perRound: 250,
  slowness: 60,
  open: () => {
    const disk = openDisk(mkdtempSync(join(tmpdir(), 'pine-fuzz-')))
    const host = realHost()
    return defineTarget({
      name: 'layout-script',
      seeds: [Buffer.from(SCRIPT), Buffer.from(SCRIPT.replaceAll(/, uuid=.*/g, ''))],
      mutate: mutateLines(SCRIPT_WORDS),
      async decode(input) {
        disk.write(Buffer.alloc(0))
        await writeTable(host, disk.path, input.toString())
        return parseLayout(await readTable(host, disk.path), disk.path)
      },
      codes: ['LAYOUT_INVALID', 'NOT_A_PINE_DISK', 'TOOL_FAILED'],
      verdict(layout) {
        requireSafeLayout(layout)
        requireThat(
          ROLES.every((role) => layout.partitions[role].offset + layout.partitions[role].bytes <= DISK_BYTES),
          'behind the end',
        )
        return accepted(ROLES.map((role) => layout.partitions[role].number).join())
      },
      close: disk.close,
    })
  },
}

export const diskTargets = [table, script]
