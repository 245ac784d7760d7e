import { digestRegion } from '../core/digest-region.ts'
import { PineError } from '../core/error.ts'
import type { OnProgress } from '../core/progress.ts'
import type { OpenRegion, Region } from '../core/region.ts'
import { writeImage } from '../delta/apply.ts'
import { nativeCodecs } from '../host/delta-codecs.ts'
import { nativeHashing } from '../host/native.ts'
import { runningSlot } from '../model/facts.ts'
import type { Plan } from '../plan/step.ts'
import type { Chosen } from '../trust/policy.ts'
import type { ReadyBundle } from './admit.ts'
import { asBase } from './damaged-base.ts'
import { executePlan } from './execute.ts'
import type { Machine } from './machine.ts'
import type { StepContext } from './runners.ts'
import { requireBaseTree, writeTree } from './tree.ts'

export interface ApplyContext extends Pick<StepContext, 'onStep' | 'signal'> {
  onBase: OnProgress
  /** See `writeImage`. */
  unflushedBytes?: number
}

/**
 * Applies an admitted bundle. A base that is not what the bundle was made from is refused before the first write;
 * a segment that arrives damaged stops the plan before the slot is armed.
 */
export async function applyBundle(
  machine: Machine,
  ready: ReadyBundle & { plan: Plan },
  context: ApplyContext,
): Promise<void> {
  const { chosen } = ready
  if (chosen.kind === 'tree') await applyTree(machine, { ...ready, chosen }, context)
  else await applyImage(machine, { ...ready, chosen }, context)
}

type Ready<K extends Chosen['kind']> = ReadyBundle & { plan: Plan; chosen: Extract<Chosen, { kind: K }> }

async function applyTree(machine: Machine, ready: Ready<'tree'>, context: ApplyContext): Promise<void> {
  const { chosen, opened, plan, facts } = ready
  const { manifest, variant } = chosen
  const { signal, onBase } = context
  const { host, disk } = machine
  const slot = runningSlot(facts)
  await requireBaseTree(disk, { slot, commit: variant.base?.commit, signal, onProgress: onBase })
  const source = { opened, manifest, variant, files: facts.records.treeFiles, signal }
  await executePlan(plan, {
    ...context,
    machine,
    writeTree: (target, onProgress) => writeTree(host, { disk, slot: target, source, onProgress }),
  })
}

async function applyImage(machine: Machine, ready: Ready<'image'>, context: ApplyContext): Promise<void> {
  const { chosen, opened, plan } = ready
  const { manifest, variant } = chosen
  const base = await openBase(machine, ready, (done, total) => {
    context.signal?.throwIfAborted()
    context.onBase(done, total)
  })
  try {
    await executePlan(plan, {
      ...context,
      machine,
      writeImage: async (target: Region, onProgress: OnProgress) => {
        const segments = opened.segments(manifest.variants, variant)
        const { signal, unflushedBytes } = context
        await writeImage({
          segments,
          manifest,
          variant,
          codecs: nativeCodecs(),
          target,
          base,
          signal,
          unflushedBytes,
          onProgress,
        })
      },
    })
  } finally {
    await base?.close()
  }
}

/** The running slot, hashed from end to end: the records may be wrong, the bytes decide. */
async function openBase(
  machine: Machine,
  { chosen: { variant }, facts }: Ready<'image'>,
  onProgress: OnProgress,
): Promise<OpenRegion | undefined> {
  const { base: first } = variant
  if (first === undefined) return undefined
  const running = runningSlot(facts)
  const region = asBase(await machine.disk.open(`rootfs-${running}`, { writable: false }), running)
  try {
    const options = { hashing: nativeHashing(), bytes: first.bytes, onProgress }
    const found = first.bytes > region.bytes ? 'too small' : await digestRegion(region, options)
    if (found === first.digest) return region
    throw baseMismatch(first.digest, `has ${found.slice(0, 12)} in slot ${running}`)
  } catch (error) {
    await region.close()
    throw error
  }
}

function baseMismatch(expected: string, found: string): PineError {
  return new PineError(
    'BASE_MISMATCH',
    `the bundle was made from image ${expected.slice(0, 12)}, this machine ${found}`,
    { hint: 'take the full bundle of the release, or the delta made from what runs here' },
  )
}
