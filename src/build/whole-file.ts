import type { ByteSink } from '../bundle/writer.ts'
import type { Host } from '../host/host.ts'

/** Writes a file beside its place, then renames it: it appears whole or not at all. Returns what `fill` returns. */
export async function writeWhole<T>(
  host: Host,
  path: string,
  fill: (append: ByteSink) => Promise<T>,
): Promise<T> {
  const partial = `${path}.partial`
  const out = await host.createFile(partial)
  try {
    const filled = await fill(out.append)
    await out.sync()
    await out.close()
    await host.rename(partial, path)
    return filled
  } catch (error) {
    await out.close()
    await host.removeFile(partial)
    throw error
  }
}
