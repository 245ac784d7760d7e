import { execFileSync } from 'node:child_process'
import { closeSync, ftruncateSync, openSync, readSync, statSync, writeSync } from 'node:fs'
import {
  GPT_HEAD_BYTES,
  GPT_TAIL_BYTES,
  type GptPiece,
  type GptTable,
  parseGpt,
} from '../../src/model/gpt.ts'
import type { GptEntry } from '../../src/model/gpt-entry.ts'

export const MIB = 1024 ** 2
export const SECTOR = 512
export const BIOS_BOOT = '21686148-6449-6e6f-744e-656564454649'
export const LINUX = '0fc63daf-8483-4772-8e79-3d69d8477de4'

/** Names are read and printed in the encoding of the locale. */
const UTF8 = { ...process.env, LC_ALL: 'C.UTF-8' }

/** As Debian's installer leaves it: nothing has a name, the root goes to the end. */
export const DEBIAN = `label: gpt
start=1MiB, size=1MiB, type=${BIOS_BOOT}
start=2MiB, type=${LINUX}
`

const made = new Map<string, DiskEnds>()

/** A disk with a table that sfdisk made; sfdisk is slow, so the second one of a kind is a copy, GUIDs and all. */
export function makeDisk(path: string, script = DEBIAN, bytes = 128 * MIB): void {
  const file = openSync(path, 'w')
  ftruncateSync(file, bytes)
  closeSync(file)
  const known = made.get(`${script} ${bytes}`)
  if (known === undefined) {
    execFileSync('sfdisk', ['--quiet', path], { input: script, stdio: 'pipe', env: UTF8 })
    // Logical partitions are described in between.
    if (!script.startsWith('label: dos')) made.set(`${script} ${bytes}`, endsOf(path))
    return
  }
  const { head, tail } = known
  writePieces(path, [
    { offset: 0, bytes: head },
    { offset: bytes - tail.length, bytes: tail },
  ])
}

export interface DiskEnds {
  head: Buffer
  tail: Buffer
  bytes: number
}

export function endsOf(path: string): DiskEnds {
  const bytes = statSync(path).size
  return {
    bytes,
    head: readAt(path, 0, GPT_HEAD_BYTES),
    tail: readAt(path, bytes - GPT_TAIL_BYTES, GPT_TAIL_BYTES),
  }
}

export function parse({ head, tail, bytes }: DiskEnds, sectorBytes = SECTOR): GptTable {
  return parseGpt(head, tail, bytes, sectorBytes)
}

export function readAt(path: string, offset: number, length: number): Buffer {
  const buffer = Buffer.alloc(length)
  const file = openSync(path, 'r')
  readSync(file, buffer, 0, length, offset)
  closeSync(file)
  return buffer
}

export function writePieces(path: string, pieces: readonly GptPiece[]): void {
  const file = openSync(path, 'r+')
  for (const { offset, bytes } of pieces) writeSync(file, bytes, 0, bytes.length, offset)
  closeSync(file)
}

/** What real sfdisk says of it. */
export function sfdisk(path: string): string {
  return execFileSync('sfdisk', ['--json', path], { encoding: 'utf8', stdio: 'pipe', env: UTF8 })
}

export interface SfdiskTable {
  id: string
  partitions: {
    node: string
    start: number
    size: number
    type: string
    uuid?: string
    name?: string
    attrs?: string
  }[]
}

export function sfdiskTable(path: string): SfdiskTable {
  return (JSON.parse(sfdisk(path)) as { partitiontable: SfdiskTable }).partitiontable
}

const ROLES: readonly [string, number][] = [
  ['bootstate', 1],
  ['rootfs-a', 16],
  ['rootfs-b', 16],
  ['swap', 8],
  ['state', 32],
]

/** What a takeover adds: partitions in a row inside of the old root, from that MiB of the disk on. */
export function carvedEntries(fromMib = 16, firstNumber = 3): GptEntry[] {
  let start = fromMib
  return ROLES.map(([name, mib], index) => {
    const [firstLba, lastLba] = [(start * MIB) / SECTOR, ((start + mib) * MIB) / SECTOR - 1]
    start += mib
    const number = firstNumber + index
    const uniqueGuid = `1234abcd-0000-4000-8000-00000000000${number}`
    return { number, name, typeGuid: LINUX, uniqueGuid, firstLba, lastLba, attributes: 0n }
  })
}
