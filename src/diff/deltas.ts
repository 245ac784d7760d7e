import type { ImageFile } from '../expand/image.ts'
import type { Content } from './content.ts'
import { costOf, type FileCost } from './cost.ts'
import { type DeltaContext, deltaFile } from './file-delta.ts'
import type { FileRun } from './files.ts'
import type { Item, ItemList } from './item.ts'
import type { Places } from './places.ts'
import { type ImageRun, isLate } from './runs.ts'

/** How each file of the new image is made. */
export interface Deltas {
  /** Starts on what these runs need. */
  schedule(runs: readonly ImageRun[]): void
  items(parts: readonly FileRun[]): Promise<Item[]>
  done(run: ImageRun): void
  costs(): readonly FileCost[]
}

const PARALLEL = 3
/** Files that are ahead of the emission, by their length. */
const AHEAD_BYTES = 96 * 1024 * 1024

export interface DeltasOptions {
  readonly content: Content
  readonly context: DeltaContext
  readonly places: Places
}

/** Makes the deltas of files ahead of their use, a few at a time, and drops them after the last use. */
export function startDeltas({ content, context, places }: DeltasOptions): Deltas {
  const made = new Map<ImageFile, Promise<ItemList>>()
  const uses = new Map<ImageFile, number>()
  const queue: ImageFile[] = []
  const costs: FileCost[] = []
  let ahead = 0
  let active = 0

  function schedule(runs: readonly ImageRun[]): void {
    queue.push(...countUses(runs, uses))
    pump()
  }

  function pump(): void {
    while (active < PARALLEL && ahead < AHEAD_BYTES) {
      const file = queue.shift()
      if (file === undefined) return
      if (!made.has(file)) void start(file)
    }
  }

  function start(file: ImageFile): Promise<ItemList> {
    active += 1
    ahead += file.bytes
    const job = delta(file).finally(() => {
      active -= 1
      pump()
    })
    // Whoever needs the file sees the failure.
    job.catch(() => undefined)
    made.set(file, job)
    return job
  }

  async function delta(file: ImageFile): Promise<ItemList> {
    const bytes = await content.readPieces(file.pieces)
    if (!isLate(file.path)) places.remember(bytes, file.pieces)
    const items = await deltaFile(file.path, bytes, context)
    costs.push({ path: file.path, bytes: await costOf(items, context.codecs) })
    return items
  }

  async function items(parts: readonly FileRun[]): Promise<Item[]> {
    const out: Item[] = []
    for (const { file, offset, bytes } of parts) {
      const list = await (made.get(file) ?? start(file))
      for (const item of list.slice(offset, bytes)) out.push(item)
    }
    return out
  }

  function done(run: ImageRun): void {
    for (const { file } of run.files) {
      const left = (uses.get(file) ?? 1) - 1
      uses.set(file, left)
      if (left > 0 || !made.delete(file)) continue
      ahead -= file.bytes
    }
    pump()
  }

  return { schedule, items, done, costs: () => costs }
}

/** Files of which content is made, in the order of their first use. */
function countUses(runs: readonly ImageRun[], uses: Map<ImageFile, number>): Set<ImageFile> {
  const needed = new Set<ImageFile>()
  for (const { fate, files } of runs) {
    if (fate.kind === 'stored') continue
    for (const { file } of files) {
      uses.set(file, (uses.get(file) ?? 0) + 1)
      if (fate.kind !== 'opaque') needed.add(file)
    }
  }
  return needed
}
