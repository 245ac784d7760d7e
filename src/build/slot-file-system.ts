import type { Host } from '../host/host.ts'
import type { Partition } from '../model/layout.ts'
import { EXT4_FEATURES } from './image.ts'

const HOUR_MS = 3_600_000
/** A tree has as many links again, but no more files: one for each 8 KiB is plenty. */
const BYTES_PER_INODE = 8192

/**
 * Makes the ext4 of a slot, with what `folder` holds, in a partition of a disk or file. No journal: it is written when it is not
 * armed, and made anew where that was cut off. Throws `TOOL_FAILED`, also where it does not fit.
 */
export async function makeSlotFileSystem(
  host: Host,
  path: string,
  { offset, bytes }: Pick<Partition, 'offset' | 'bytes'>,
  folder: string,
): Promise<void> {
  const shape = ['-q', '-F', '-b', '4096', '-m', '0', '-i', String(BYTES_PER_INODE), '-O', EXT4_FEATURES]
  const place = ['-E', `offset=${offset},lazy_itable_init=0,nodiscard`]
  await host.exec('mke2fs', [...shape, ...place, '-d', folder, path, `${Math.floor(bytes / 1024)}k`], {
    timeoutMs: HOUR_MS,
  })
}
