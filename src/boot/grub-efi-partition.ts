import { type Region, readParts } from '../core/region.ts'
import { withTempDir } from '../host/files.ts'
import type { Host } from '../host/host.ts'

/** UEFI 2.10 §3.5.1.1: what firmware starts from a disk without having been told of it. */
export const EFI_PROGRAM = 'EFI/BOOT/BOOTX64.EFI'

/** On all disks the same: nothing is ever found by it. */
const VOLUME_ID = '50494e45'
/** 1980-01-01, where FAT's time begins. Made at any time and place, the bytes are the same. */
const FIXED = { SOURCE_DATE_EPOCH: '315532800', TZ: 'UTC', MTOOLSRC: '/dev/null' }

/**
 * An EFI system partition of that size with one program in it. Returns its start; the rest is zeros, and no content is
 * there. FAT32: UEFI 2.10 §13.3 has the smaller ones for removable media only. Throws `TOOL_MISSING`.
 */
export async function makeEfiPartition(host: Host, program: Buffer, bytes: number): Promise<Buffer> {
  return withTempDir(async (dir) => {
    const esp = `${dir}/esp`
    await host.createSparse(esp, bytes)
    await host.replaceFile(`${dir}/program`, program)
    await host.exec('mkfs.vfat', ['--invariant', '-F', '32', '-i', VOLUME_ID, esp], { env: FIXED })
    await host.exec('mmd', ['-i', esp, '::/EFI', '::/EFI/BOOT'], { env: FIXED })
    await host.exec('mcopy', ['-i', esp, `${dir}/program`, `::/${EFI_PROGRAM}`], { env: FIXED })
    const region = await host.openRegion(esp)
    return readContent(region).finally(() => region.close())
  })
}

async function readContent(region: Region): Promise<Buffer> {
  let end = 0
  for await (const { part, position } of readParts(region, region.bytes)) {
    if (!part.equals(Buffer.alloc(part.length))) end = position + part.length
  }
  const content = Buffer.alloc(end)
  await region.read(content, 0)
  return content
}
