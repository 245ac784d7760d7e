import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Host } from './host.ts'

// In the one-file bundle this is dist/ itself; in the source tree it is src/host.
const HERE = dirname(fileURLToPath(import.meta.url))
const DIST = HERE.endsWith(join('src', 'host')) ? join(HERE, '..', '..', 'dist') : HERE

/** Folder with what is shipped beside the program: native core, loader script, units, layouts. */
export function distFolder(): string {
  return DIST
}

/** A file of `src/system`, as shipped. */
export async function readAsset(host: Host, name: string): Promise<Buffer> {
  const content = await host.readFile(join(DIST, 'system', name))
  if (content === undefined) throw new Error(`${name} is missing from ${DIST}/system; run "npm run build"`)
  return content
}
