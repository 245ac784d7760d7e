import { withTempDir } from './files.ts'
import type { Host } from './host.ts'

const PAGE_BYTES = 4096

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
