import type { Role } from '../../src/model/layout.ts'

/** What a disk writes as a whole. */
export const SECTOR_BYTES = 512
const SECTOR_WORDS = SECTOR_BYTES / 4

/** Bytes for one place of one partition. */
export interface Piece {
  readonly role: Role
  readonly offset: number
  readonly bytes: Uint8Array
}

interface Partition {
  readonly bytes: Buffer
  readonly words: Int32Array
  /** Sum over the sectors: two disks with the same marks hold the same. */
  readonly mark: [number, number]
}

/** The partitions of a disk, in memory. */
export type Disk = ReadonlyMap<Role, Partition>

export function makeDisk(contents: ReadonlyMap<Role, Uint8Array>): Disk {
  const disk = new Map([...contents].map(([role, bytes]) => [role, emptyPartition(bytes.length)]))
  for (const [role, bytes] of contents) writePiece(disk, { role, offset: 0, bytes })
  return disk
}

function emptyPartition(bytes: number): Partition {
  if (bytes % SECTOR_BYTES !== 0) throw new Error(`${bytes} bytes are not whole sectors`)
  const memory = new ArrayBuffer(bytes)
  return { bytes: Buffer.from(memory), words: new Int32Array(memory), mark: [0, 0] }
}

export function copyDisk(disk: Disk): Disk {
  const copy = new Map([...disk].map(([role, { bytes }]) => [role, emptyPartition(bytes.length)]))
  copyOver(disk, copy)
  return copy
}

/** Makes `to` the same as `from`; both have the same partitions. */
export function copyOver(from: Disk, to: Disk): void {
  for (const [role, partition] of from)
    copyRange({ from: partition, to: partitionOf(to, role) }, 0, partition.bytes.length)
}

interface Pair {
  readonly from: Partition
  readonly to: Partition
}

/** Of one partition, where both differ nowhere else. */
function copyRange({ from, to }: Pair, start: number, end: number): void {
  from.bytes.copy(to.bytes, start, start, end)
  to.mark[0] = from.mark[0]
  to.mark[1] = from.mark[1]
}

function partitionOf(disk: Disk, role: Role): Partition {
  const partition = disk.get(role)
  if (partition === undefined) throw new Error(`nothing of this product writes to ${role}`)
  return partition
}

/** The bytes themselves: whoever writes to them bypasses the marks. */
export function contentOf(disk: Disk, role: Role): Buffer {
  return partitionOf(disk, role).bytes
}

/** The same for the same content, and but for one chance in 2^64 for no other. Of one partition, or of all. */
export function markOf(disk: Disk, role?: Role): string {
  if (role !== undefined) return partitionOf(disk, role).mark.join()
  let [first, second] = [0, 0]
  for (const { mark } of disk.values()) {
    first = Math.imul(first, 0x01000193) ^ mark[0]
    second = Math.imul(second, 0x85ebca6b) ^ mark[1]
  }
  return `${(first >>> 0).toString(36)}.${(second >>> 0).toString(36)}`
}

/** Most of a write is what was there before. */
const BLOCK_BYTES = 8 * SECTOR_BYTES

export function writePiece(disk: Disk, { role, offset, bytes }: Piece): void {
  const partition = partitionOf(disk, role)
  if (offset < 0 || offset + bytes.length > partition.bytes.length) {
    throw new RangeError(`${role}: ${offset}+${bytes.length} is outside`)
  }
  for (let at = 0; at < bytes.length; at += BLOCK_BYTES) {
    const end = Math.min(bytes.length, at + BLOCK_BYTES)
    const isSame = partition.bytes.compare(bytes, at, end, offset + at, offset + end) === 0
    if (!isSame) writeBlock(partition, offset + at, bytes.subarray(at, end))
  }
}

function writeBlock(partition: Partition, offset: number, bytes: Uint8Array): void {
  const [first, last] = sectorsOf(offset, bytes.length)
  addMarks(partition, first, last)
  partition.bytes.set(bytes, offset)
  addMarks(partition, first, last)
}

function sectorsOf(offset: number, bytes: number): [number, number] {
  return [Math.floor(offset / SECTOR_BYTES), Math.ceil((offset + bytes) / SECTOR_BYTES)]
}

/** Exclusive or: what is added twice is gone. */
function addMarks({ words, mark }: Partition, first: number, last: number): void {
  for (let sector = first; sector < last; sector++) {
    let one = Math.imul(sector + 1, 0x9e3779b1)
    let two = Math.imul(sector + 1, 0xc2b2ae35)
    const end = (sector + 1) * SECTOR_WORDS
    for (let at = sector * SECTOR_WORDS; at < end; at++) {
      const word = words[at] ?? 0
      one = Math.imul(one ^ word, 0x85ebca6b)
      one = (one << 13) | (one >>> 19)
      two = Math.imul(two + word, 0x27d4eb2f) ^ (two >>> 15)
    }
    mark[0] ^= Math.imul(one ^ (one >>> 16), 0xc2b2ae35)
    mark[1] ^= Math.imul(two ^ (two >>> 13), 0x9e3779b1)
  }
}

/** In their order: where two have the same place the later one is there. */
export function writePieces(disk: Disk, pieces: readonly Piece[]): void {
  for (const piece of pieces) writePiece(disk, piece)
}

/** Undoes `writePieces` on a disk that was the same as `before`. */
export function takeBack(disk: Disk, pieces: readonly Piece[], before: Disk): void {
  for (const { role, offset, bytes } of pieces) {
    copyRange({ from: partitionOf(before, role), to: partitionOf(disk, role) }, offset, offset + bytes.length)
  }
}
