import type { ChangeList } from '../bundle/changes.ts'
import type { Codecs } from '../core/codecs.ts'
import type { OnProgress } from '../core/progress.ts'
import type { Region } from '../core/region.ts'
import type { DataWriter } from '../delta/data.ts'
import { expandImage } from '../expand/image.ts'
import { type Base, openBase } from './base.ts'
import { listChanges } from './changes.ts'
import { type Content, openContent } from './content.ts'
import type { FileCost } from './cost.ts'
import { type Deltas, startDeltas } from './deltas.ts'
import { createEmitter, type Emitter } from './emit.ts'
import { literal } from './file-delta.ts'
import { cutRuns, type FileRun, runAt } from './files.ts'
import { trackPlaces } from './places.ts'
import { decideUnits, type UnitFate } from './prove.ts'
import { type ImageRun, listRuns, orderRuns } from './runs.ts'
import { fullFates, type Target } from './target.ts'

export interface CreateOptions {
  readonly codecs: Codecs
  readonly target: Target
  /** The image that hosts have; without it the program needs none, and no codec. */
  readonly base: Region | undefined
  readonly data: DataWriter
  readonly chunkBytes: number
  readonly minCopyBytes: number
  /** List what changed since the base. */
  readonly changes?: boolean
  readonly onProgress?: OnProgress | undefined
  readonly signal?: AbortSignal | undefined
}

export interface CreatedProgram {
  readonly program: Buffer
  /** Encoded units that could not be made again, and of how many; 0 of 0 in a full program. */
  readonly opaque: { readonly units: number; readonly of: number; readonly bytes: number }
  readonly costs: readonly FileCost[]
  /** Where it was asked for, and both images can be looked into. */
  readonly changes: ChangeList | undefined
}

/** Compares two images by content; the data that operations take goes to `data`. */
export async function createProgram(options: CreateOptions): Promise<CreatedProgram> {
  const { codecs, target, data, chunkBytes, minCopyBytes, onProgress, signal } = options
  const { content, files } = target
  const imageBytes = target.region.bytes
  const base = options.base && (await openBaseImage(options.base, codecs))
  const fates = base ? await proveUnits(options, base) : fullFates(content)
  const { early, late } = orderRuns(listRuns(content, fates, files))
  const places = trackPlaces({ base, imageBytes, chunkBytes })
  const emitter = createEmitter({ base, data, locateNew: places.locate, codecs })
  const context = { base, codecs, findNew: places.find, minCopyBytes }
  const deltas = startDeltas({ content, context, places })
  const emission = { emitter, deltas, content, files, keptTo: 0 }
  let position = 0
  for (const runs of [early, late]) {
    deltas.schedule(runs)
    for (const [index, run] of runs.entries()) {
      signal?.throwIfAborted()
      places.begin(run, position)
      await emitRun(emission, run, runs[index + 1])
      position += run.stored
      await data.settle()
      onProgress?.((imageBytes + position) / 2, imageBytes)
    }
  }
  return {
    program: emitter.end(),
    costs: deltas.costs(),
    opaque: countOpaque(content, base ? fates : []),
    changes: await changesSince(base, options),
  }
}

async function changesSince(base: Base | undefined, options: CreateOptions): Promise<ChangeList | undefined> {
  if (base === undefined || options.base === undefined || options.changes !== true) return undefined
  const old = { region: options.base, content: base.content }
  return await listChanges(old, options.target, options.codecs)
}

async function openBaseImage(region: Region, codecs: Codecs): Promise<Base> {
  const content = openContent(region, await expandImage(region, codecs), codecs)
  return openBase(content, region.bytes, codecs)
}

function proveUnits({ target, codecs, onProgress, signal }: CreateOptions, base: Base): Promise<UnitFate[]> {
  const { content, files, region } = target
  return decideUnits({
    target: content,
    base: base.content,
    codecs,
    following(unit, most) {
      const end = content.startOf(unit + 1)
      const run = runAt(files, end - 1)
      return run === undefined ? 0 : Math.max(0, Math.min(most, run.at + run.bytes - end))
    },
    onUnit: (done, total) => {
      signal?.throwIfAborted()
      onProgress?.((region.bytes / 2) * (done / total), region.bytes)
    },
  })
}

function countOpaque({ image }: Content, fates: readonly UnitFate[]): CreatedProgram['opaque'] {
  const encoded = fates.filter(({ kind }) => kind !== 'raw')
  const stored = fates.flatMap(({ kind }, unit) =>
    kind === 'opaque' ? [image.units[unit]?.stored ?? 0] : [],
  )
  return { units: stored.length, of: encoded.length, bytes: stored.reduce((sum, bytes) => sum + bytes, 0) }
}

interface Emission {
  readonly emitter: Emitter
  readonly deltas: Deltas
  readonly content: Content
  readonly files: readonly FileRun[]
  /** Content up to here was given out with the block before; 0 where none was. */
  keptTo: number
}

async function emitRun(emission: Emission, run: ImageRun, next: ImageRun | undefined): Promise<void> {
  const { emitter, deltas, content } = emission
  const { fate } = run
  switch (fate.kind) {
    case 'stored':
      emitter.copyStored(fate.from, run.stored)
      return
    case 'opaque': {
      const unit = content.image.units[run.unit]
      if (unit) emitter.content(literal(await content.readStored(unit)))
      break
    }
    case 'raw':
      emitter.content(await deltas.items(run.files))
      break
    case 'pack': {
      const isFollowed = next?.fate.kind === 'pack' && next.at === run.at + run.bytes
      await emitPack(emission, run, { ahead: fate.lookahead, kept: isFollowed ? fate.lookahead : 0 })
    }
  }
  deltas.done(run)
}

/** `ahead`: content behind the block that its encoder looks at; so much of it is `kept` for the next one. */
async function emitPack(
  emission: Emission,
  run: ImageRun,
  { ahead, kept }: { ahead: number; kept: number },
): Promise<void> {
  const { emitter, deltas, content, files } = emission
  const encoding = content.image.units[run.unit]?.encoding
  if (encoding === undefined) throw new Error('a packed unit without an encoding')
  const begin = Math.max(run.at, emission.keptTo)
  const end = run.at + run.bytes
  const items = await deltas.items(cutRuns(files, begin, end + ahead))
  emitter.pack(encoding, { bytes: end + ahead - begin, consumed: run.bytes, kept, stored: run.stored }, items)
  emission.keptTo = kept > 0 ? end + kept : 0
}
