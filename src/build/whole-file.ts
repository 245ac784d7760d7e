import type { ByteSink } from '../bundle/writer.ts'
import type { Host } from '../host/host.ts'

/** Makes a file beside its place, then renames it: it appears whole or not at all. Returns what `make` returns. */
export async function makeWhole<T>(
  host: Host,
  path: string,
  make: (partial: string) => Promise<T>,
): Promise<T> {
  const partial = `${path}.partial`
  // Where nothing can be made, that is told here, and not by whichever program would make it. Also removes what a run that
  // was killed has left.
  const probe = await host.createFile(partial)
  await probe.close()
  await host.removeFile(partial)
  try {
    const made = await make(partial)
    await host.rename(partial, path)
    return made
  } catch (error) {
    await host.removeFile(partial)
    throw error
  }
}

/** The same, for a file that is written in order. */
export async function writeWhole<T>(
  host: Host,
  path: string,
  fill: (append: ByteSink) => Promise<T>,
): Promise<T> {
  return makeWhole(host, path, async (partial) => {
    const out = await host.createFile(partial)
    try {
      const filled = await fill(out.append)
      await out.sync()
      return filled
    } finally {
      await out.close()
    }
  })
}
