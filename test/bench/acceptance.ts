import type { DiskSpeed } from './disk-speed.ts'
import type { Limited } from './limit.ts'
import { OURS } from './ours.ts'
import type { Image, Step } from './pair.ts'
import type { ReencodeSpeed } from './reencode.ts'
import { isRow, type Result, type Row } from './row.ts'

/** Something that was promised of a figure. */
export interface Figure {
  readonly name: string
  readonly unit: 'bytes' | 'ratio' | 'seconds'
  readonly measured: number | undefined
  /** Without it, coming to an end is all that was promised. */
  readonly must?: number
  readonly aim?: number
  /** More is better. */
  readonly atLeast?: boolean
}

export interface Measured {
  readonly results: readonly Result[]
  readonly limited?: Limited
  readonly disk?: DiskSpeed
  readonly reencoding?: ReencodeSpeed
}

export function isMet({ measured, must, atLeast }: Figure): boolean {
  if (measured === undefined) return false
  if (must === undefined) return true
  return atLeast === true ? measured >= must : measured <= must
}

const MB = 1e6
const KIB = 1024
const MIB = KIB * KIB

/** The acceptance table of the delta engine, in its order. */
export function figuresOf(measured: Measured): Figure[] {
  return [...sizes(measured), ...createCosts(measured), ...applyCosts(measured)]
}

function find({ results }: Measured, tool: string, step: Step, image: Image): Row | undefined {
  return results
    .filter(isRow)
    .find((row) => row.tool.startsWith(tool) && row.step === step && row.image === image)
}

function ratio(part: number | undefined, whole: number | undefined): number | undefined {
  return part === undefined || whole === undefined ? undefined : part / whole
}

function sizes(measured: Measured): Figure[] {
  const bytes = (tool: string, step: Step, image: Image) => find(measured, tool, step, image)?.bytes
  const ours = (image: Image) => bytes(OURS, 'update', image)
  const against = (name: string, part: number | undefined, whole: number | undefined) =>
    ({ name, unit: 'ratio', measured: ratio(part, whole) }) as const
  const main = ours('zstd.sqfs')
  const hotfix = bytes(OURS, 'hotfix', 'zstd.sqfs')
  return [
    { name: 'update, squashfs zstd', unit: 'bytes', measured: main, must: 12 * MB, aim: 6 * MB },
    {
      ...against('… against the OSTree static delta', main, bytes('OSTree', 'update', 'zstd.sqfs')),
      must: 0.4,
    },
    { ...against('… against xdelta3', main, bytes('xdelta3', 'update', 'zstd.sqfs')), must: 0.17 },
    {
      ...against(
        'hotfix, squashfs zstd, against the OSTree static delta',
        hotfix,
        bytes('OSTree', 'hotfix', 'zstd.sqfs'),
      ),
      must: 1,
      aim: 0.6,
    },
    {
      ...against('update, squashfs gzip, against squashfs zstd', ours('gzip.sqfs'), main),
      must: 1.1,
      aim: 1,
    },
    { ...against('update, squashfs xz, against squashfs zstd', ours('xz.sqfs'), main), must: 1.1, aim: 1 },
    { name: 'update, erofs lz4hc', unit: 'bytes', measured: ours('lz4.erofs'), must: 12 * MB, aim: 6 * MB },
    {
      ...against(
        '… against HDiffPatch on erofs raw',
        ours('lz4.erofs'),
        bytes('HDiff', 'update', 'raw.erofs'),
      ),
      must: 0.42,
    },
    { name: 'update, ext4', unit: 'bytes', measured: ours('ext4'), must: 12 * MB, aim: 6 * MB },
    {
      ...against('… against HDiffPatch on ext4', ours('ext4'), bytes('HDiff', 'update', 'ext4')),
      must: 0.42,
    },
    {
      name: 'rebuilt, squashfs zstd',
      unit: 'bytes',
      measured: bytes(OURS, 'rebuilt', 'zstd.sqfs'),
      must: 64 * KIB,
    },
  ]
}

function createCosts(measured: Measured): Figure[] {
  const create = find(measured, OURS, 'update', 'zstd.sqfs')?.create
  const peer = find(measured, 'OSTree', 'update', 'zstd.sqfs')?.create
  return [
    {
      name: 'create, squashfs zstd, against the OSTree static delta',
      unit: 'ratio',
      measured: ratio(create?.seconds, peer?.seconds),
      must: 1,
      aim: 0.25,
    },
    { name: '… peak RSS', unit: 'bytes', measured: create?.peakBytes, must: 2000 * MB },
  ]
}

function applyCosts(measured: Measured): Figure[] {
  const { limited, disk, reencoding } = measured
  const squashfs = find(measured, OURS, 'update', 'zstd.sqfs')?.apply
  const ext4 = find(measured, OURS, 'update', 'ext4')?.apply
  const once = disk === undefined ? undefined : disk.writeSeconds + disk.readSeconds
  const allCores = reencoding === undefined ? undefined : reencoding.cores * reencoding.core
  const encoded = ratio(reencoding?.changedBytes, squashfs?.seconds)
  return [
    {
      name: 'apply, squashfs zstd, peak RSS',
      unit: 'bytes',
      measured: squashfs?.peakBytes,
      must: 96 * MIB,
      aim: 64 * MIB,
    },
    {
      name: '… in a memory cgroup of 128 MiB, page cache included',
      unit: 'seconds',
      measured: limited !== undefined && 'cost' in limited ? limited.cost.seconds : undefined,
    },
    {
      name: 'apply, ext4, against writing the image once and reading it back',
      unit: 'ratio',
      measured: ratio(ext4?.seconds, once),
      must: 2,
      aim: 1.2,
    },
    {
      name: 're-encoding on every core, against cores × one core',
      unit: 'ratio',
      measured: ratio(reencoding?.all, allCores),
      must: 0.8,
      atLeast: true,
    },
    {
      name: '… the whole apply of the update, squashfs zstd, as if it did nothing else',
      unit: 'ratio',
      measured: ratio(encoded, allCores),
      must: 0.8,
      atLeast: true,
    },
  ]
}
