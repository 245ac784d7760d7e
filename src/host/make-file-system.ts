import type { Room } from '../core/room.ts'
import { withTempDir } from './files.ts'
import type { Host } from './host.ts'

const PAGE_BYTES = 4096
const HOUR_MS = 3_600_000

/** Of what the loader reads: none that GRUB 2.06 does not know, and no journal. */
export const EXT4_FEATURES =
  'none,ext_attr,dir_index,filetype,extent,64bit,flex_bg,sparse_super2,large_file,huge_file,extra_isize,metadata_csum'
/** A tree slot has a second name for each file, but few files more: one inode for each 8 KiB is plenty. */
const BYTES_PER_INODE = 8192
/** Each of 256 bytes; the first ten and lost+found are taken. */
const INODE_BYTES = 256
const TAKEN_INODES = 11
/** Two bitmaps and a descriptor for each 128 MiB, and as much again. */
const GROUP_SHARE = 8192
/** ext4_calculate_resv_clusters(), fs/ext4/super.c: what the kernel keeps for its own extents. */
const RESERVED_SHARE = 50
const MOST_RESERVED = 16 * 1024 * 1024
/** Superblocks and lost+found. */
const FIXED_BYTES = 64 * 1024

/** What makes a swap partition of that size, for its start. mkswap(8) knows no offset: it is made on a file. */
export async function swapHeader(host: Host, bytes: number): Promise<Buffer> {
  const page = Buffer.alloc(PAGE_BYTES)
  await withTempDir(async (dir) => {
    const file = `${dir}/swap`
    await host.createSparse(file, bytes)
    await host.exec('mkswap', ['--label', 'swap', file])
    const header = await host.openRegion(file)
    await header.read(page, 0).finally(() => header.close())
  })
  return page
}

/** An empty file system for the state partition, that many bytes from the start of a disk or file. */
export async function makeStateFileSystem(
  host: Host,
  path: string,
  { offset, bytes }: { offset: number; bytes: number },
): Promise<void> {
  const options = ['-E', `offset=${offset}`, '-L', 'state', '-e', 'remount-ro', '-m', '1']
  await host.exec('mke2fs', ['-q', '-F', '-t', 'ext4', ...options, path, `${Math.floor(bytes / 1024)}k`], {
    timeoutMs: 600_000,
  })
}

/** What `makeSlotFileSystem` leaves for files in so many bytes, or a little less. */
export function slotFileSystemRoom(bytes: number): Room {
  const inodes = Math.floor(bytes / BYTES_PER_INODE)
  const reserved = Math.min(bytes / RESERVED_SHARE, MOST_RESERVED)
  const own = inodes * INODE_BYTES + Math.ceil(bytes / GROUP_SHARE + reserved) + FIXED_BYTES
  return { bytes: Math.max(0, bytes - own), inodes: Math.max(0, inodes - TAKEN_INODES) }
}

/**
 * Makes the ext4 of a tree slot, empty or with what `folder` holds, in a place of a disk or file. Without a journal: it is written
 * while it is not armed, and made anew where that was cut off. Throws `TOOL_FAILED`, also where it does not fit.
 */
export async function makeSlotFileSystem(
  host: Host,
  path: string,
  { offset, bytes }: { offset: number; bytes: number },
  folder?: string,
): Promise<void> {
  const shape = ['-q', '-F', '-b', '4096', '-m', '0', '-i', String(BYTES_PER_INODE), '-O', EXT4_FEATURES]
  const content = folder === undefined ? [] : ['-d', folder]
  const place = ['-E', `offset=${offset},lazy_itable_init=0,nodiscard`, ...content]
  await host.exec('mke2fs', [...shape, ...place, path, `${Math.floor(bytes / 1024)}k`], {
    timeoutMs: HOUR_MS,
  })
}
