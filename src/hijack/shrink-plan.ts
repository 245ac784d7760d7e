import { formatBytes } from '../core/format.ts'
import type { Host } from '../host/host.ts'
import { type Ext4, freeBehind, readExt4 } from './ext4.ts'
import { ALIGNMENT, place } from './place.ts'
import { type Problem, stop } from './problem.ts'
import type { Review } from './review.ts'
import { LESS_IS_WANTED, RESERVE_BYTES, RESERVE_SHARE, type Wanted } from './wanted.ts'

/** What is done to the old root while the machine restarts: made smaller, and as large again. In blocks of it. */
export interface ShrinkPlan {
  device: string
  uuid: string
  blockBytes: number
  /** As it is, and is to be again. */
  full: number
  target: number
  /** That have to be free once it is smaller. */
  keep: number
  /** At most. */
  movedBytes: number
  minutes: number
}

/** How full a file system is; statfs(2). */
export interface Space {
  /** That anybody may use, in blocks. */
  freeBlocks: number
  inodes: number
  freeInodes: number
}

interface Place {
  device: string
  /** On the disk, in bytes. */
  offset: number
  bytes: number
}

const MIB = 1024 ** 2
const STEP_BYTES = 32 * MIB
/** Of the front of what is cut off: ext4 gives out large pieces in multiples of 8 MiB. */
const LOST_BYTES = 16 * MIB
/** Of a slow disk, each block read and written; and what the checks before and after take. */
const BYTES_PER_MINUTE = 20 * MIB * 60
const CHECK_MINUTES = 2

/** Whether the partitions of a takeover would find room by that, and how; else why not. Looks, and changes nothing. */
export async function planShrink(
  host: Host,
  { facts: { root }, wanted }: Pick<Review, 'facts' | 'wanted'>,
): Promise<ShrinkPlan | Problem> {
  const { fs } = root.mount
  if (fs !== 'ext4' || root.partition === undefined) return notExt4(fs)
  const { path: device, offset, bytes } = root.partition
  const ext4 = await readExt4(host, device)
  return decideShrink(ext4, await readSpace(host), wanted, { device, offset, bytes })
}

async function readSpace(host: Host): Promise<Space> {
  const line = await host.exec('stat', ['--file-system', '--format=%a %c %d', '/'])
  const [freeBlocks = 0, inodes = 0, freeInodes = 0] = line.trim().split(' ').map(Number)
  return { freeBlocks, inodes, freeInodes }
}

/** The least that has to be cut off for all of `wanted` to find its place there. */
export function decideShrink(
  ext4: Ext4,
  space: Space,
  wanted: readonly Wanted[],
  root: Place,
): ShrinkPlan | Problem {
  const { blockBytes, blocks } = ext4
  const strange = strangeness(ext4, root)
  if (strange !== undefined) return strange
  const keepBytes = Math.max(RESERVE_BYTES, RESERVE_SHARE * blocks * blockBytes)
  const most = space.freeBlocks * blockBytes - keepBytes
  const needed = wanted.reduce((total, { bytes }) => total + bytes, ALIGNMENT)
  for (let cut = needed; cut <= most; cut += STEP_BYTES) {
    const target = blocks - Math.ceil(cut / blockBytes)
    if (holdsInodes(ext4, space, target) && fits(ext4, target, wanted, root))
      return planOf(ext4, root, target, keepBytes)
  }
  const text = `of / ${formatBytes(Math.max(0, most))} can be spared, which is too little even in one piece`
  return stop(text, LESS_IS_WANTED)
}

function fits(ext4: Ext4, target: number, wanted: readonly Wanted[], root: Place): boolean {
  const from = target + LOST_BYTES / ext4.blockBytes
  const runs = freeBehind(ext4, from).map(({ from, to }) => {
    return { offset: root.offset + from * ext4.blockBytes, bytes: (to - from) * ext4.blockBytes }
  })
  return place(runs, wanted, root.offset + root.bytes) !== undefined
}

/** It may only have groups with inodes for all that there are. */
function holdsInodes({ blocksPerGroup, inodesPerGroup }: Ext4, space: Space, target: number): boolean {
  return Math.floor(target / blocksPerGroup) * inodesPerGroup >= space.inodes - space.freeInodes
}

function planOf(
  { uuid, blockBytes, blocks: full }: Ext4,
  { device }: Place,
  target: number,
  keepBytes: number,
): ShrinkPlan {
  const movedBytes = (full - target) * blockBytes
  const minutes = CHECK_MINUTES + Math.ceil(movedBytes / BYTES_PER_MINUTE)
  // Half of it: something may be written until the machine restarts.
  const keep = Math.ceil(keepBytes / 2 / blockBytes)
  return { device, uuid, blockBytes, full, target, keep, movedBytes, minutes }
}

function strangeness(
  { strange, flexGroups, blockBytes, blocks }: Ext4,
  { bytes }: Place,
): Problem | undefined {
  if (blocks * blockBytes > bytes)
    return stop('the file system of / is larger than its partition', 'use "install" on an idle disk')
  const why = flexGroups === 1 ? ['without flex_bg'] : strange.map((name) => `with ${name}`)
  if (why.length === 0) return undefined
  const text = `/ is an ext4 ${why.join(', ')}: what is free would not be in one piece even after a shrink`
  return stop(text, LESS_IS_WANTED)
}

function notExt4(fs: string): Problem {
  return stop(`a file system of the kind ${fs} cannot be made smaller, only ext4 can`, LESS_IS_WANTED)
}
