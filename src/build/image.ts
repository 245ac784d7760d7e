import { dirname } from 'node:path'
import { PineError } from '../core/error.ts'
import { withTempDir } from '../host/files.ts'
import type { Host } from '../host/host.ts'
import { EXT4_FEATURES } from '../host/make-file-system.ts'
import { fixTimes } from './ext4-times.ts'
import { requireSecretsKept } from './secrets.ts'
import { makeWhole } from './whole-file.ts'

/** File systems that an image can have. */
export const IMAGE_KINDS = ['squashfs', 'erofs', 'ext4'] as const
export type ImageKind = (typeof IMAGE_KINDS)[number]

/** How an image is packed. */
export interface ImageShape {
  fs: ImageKind
  /** Squashfs only; the loader reads gzip, lzo and xz. */
  compression: string
  /** Of gzip and zstd. Default: the one that makes updates cheap. */
  level?: number | undefined
}

export interface ImageRequest extends ImageShape {
  /** A folder with a root file system, or a tar file of one. */
  from: string
  out: string
  /** Seconds since 1970: every time stamp in the image that is newer is set to it. Default: files keep theirs. */
  epochSeconds?: number
}

const HOUR_MS = 3_600_000
/** Fixed, so that the same tree gives the same bytes; a slot is found by its PARTUUID, never by this. */
const FS_UUID = '70696e65-2d75-7064-6174-650000000001'

/**
 * Makes a read-only image of a tree: the same tree gives the same bytes. The file appears whole or not at all.
 * Throws `TREE_INVALID`, `TOOL_*`.
 */
export async function buildImage(host: Host, request: ImageRequest): Promise<void> {
  await makeWhole(host, request.out, (out) => buildAt(host, { ...request, out }))
}

async function buildAt(host: Host, request: ImageRequest): Promise<void> {
  const kind = await host.kindOf(request.from)
  if (kind === undefined) throw new PineError('FILE_NOT_FOUND', `there is no ${request.from}`)
  if (kind === 'folder') return makeImage(host, request.from, request)
  await withTempDir(async (tree) => {
    await unpack(host, request.from, tree)
    await makeImage(host, tree, request)
  }, dirname(request.out))
}

/** Owners, modes and extended attributes are part of a release, so unpacking needs root. */
async function unpack(host: Host, tar: string, tree: string): Promise<void> {
  if (process.getuid?.() !== 0) {
    throw new PineError('NOT_ROOT', `unpacking ${tar} with its owners needs root`, {
      hint: 'run the command as root, or give a folder',
    })
  }
  const keep = ['--numeric-owner', '--xattrs', '--xattrs-include=*', '--same-permissions']
  await host.exec('tar', ['-xf', tar, '-C', tree, ...keep], { timeoutMs: HOUR_MS })
}

async function makeImage(host: Host, tree: string, request: ImageRequest): Promise<void> {
  await requireTree(host, tree, request.from)
  await requireSecretsKept(host, tree)
  switch (request.fs) {
    case 'squashfs':
      return makeSquashfs(host, tree, request)
    case 'erofs':
      return makeErofs(host, tree, request)
    case 'ext4':
      return makeExt4(host, tree, request)
  }
}

async function requireTree(host: Host, tree: string, origin: string): Promise<void> {
  if ((await host.listFolder(tree)).length === 0) {
    throw new PineError('TREE_INVALID', `${origin} is empty, expected a root file system`, {
      hint: 'give the folder that has etc and usr in it',
    })
  }
}

async function makeSquashfs(host: Host, tree: string, request: ImageRequest): Promise<void> {
  const { out, compression, level, epochSeconds } = request
  const args = [tree, out, ...squashfsPacking(compression, level), '-noappend', '-quiet', '-no-progress']
  // mksquashfs takes either the variable, which also clamps the times of files, or the option, which does not.
  const times = epochSeconds === undefined ? ['-mkfs-time', '0'] : []
  await host.exec('mksquashfs', [...args, ...times], { timeoutMs: HOUR_MS, env: epochEnv(request) })
}

/**
 * Hosts encode changed blocks again, so the last percent of size is not worth what mksquashfs spends on it by itself:
 * docs/deltas.md has the figures.
 */
const LEVELS: Readonly<Record<string, number>> = { gzip: 6, zstd: 6 }

export function squashfsPacking(compression: string, level = LEVELS[compression]): string[] {
  return ['-comp', compression, ...(level === undefined ? [] : ['-Xcompression-level', String(level)])]
}

async function makeErofs(host: Host, tree: string, request: ImageRequest): Promise<void> {
  const args = [
    '-T',
    String(request.epochSeconds ?? 0),
    '-U',
    FS_UUID,
    '-zlz4hc,9',
    '--quiet',
    request.out,
    tree,
  ]
  await host.exec('mkfs.erofs', args, { timeoutMs: HOUR_MS, env: epochEnv(request) })
}

/** These programs listen to the variable, and what they inherit of it may be another. */
function epochEnv({ epochSeconds }: ImageRequest): Record<string, string> {
  return epochSeconds === undefined ? {} : { SOURCE_DATE_EPOCH: String(epochSeconds) }
}

/**
 * Written with room to spare, then shrunk: the smallest size is known only once everything is in. Without a
 * journal, since nothing ever writes to it, and with no feature that GRUB 2.06 cannot read.
 */
async function makeExt4(host: Host, tree: string, request: ImageRequest): Promise<void> {
  // To these programs 0 is no time, and they take the clock's.
  const env = { ...epochEnv(request), E2FSPROGS_FAKE_TIME: String(request.epochSeconds || 1) }
  const options = { timeoutMs: HOUR_MS, env }
  const used = await host.exec('du', ['--summarize', '--block-size=1', '--apparent-size', tree])
  const inodes = Number.parseInt(await host.exec('du', ['--summarize', '--inodes', tree]), 10) + 64
  const bytes = Math.ceil(Number.parseInt(used, 10) * 1.2) + inodes * 4096 + 32 * 1024 * 1024
  const shape = ['-q', '-F', '-b', '4096', '-m', '0', '-I', '256', '-N', String(inodes), '-U', FS_UUID]
  const extended = `hash_seed=${FS_UUID},lazy_itable_init=0,nodiscard`
  const target = ['-d', tree, request.out, `${Math.ceil(bytes / 1024)}k`]
  await host.exec('mke2fs', [...shape, '-E', extended, '-O', EXT4_FEATURES, ...target], options)
  await fixTimes(host, request.out, request.epochSeconds)
  await host.exec('resize2fs', ['-M', request.out], options)
}
