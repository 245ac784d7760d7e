import { digestRegion } from '../core/digest-region.ts'
import { PineError } from '../core/error.ts'
import type { OnProgress } from '../core/progress.ts'
import type { OpenRegion, Region } from '../core/region.ts'
import { writeImage } from '../delta/apply.ts'
import { nativeCodecs } from '../host/delta-codecs.ts'
import { nativeHashing } from '../host/native.ts'
import { runningSlot } from '../model/facts.ts'
import type { Plan } from '../plan/step.ts'
import type { ReadyBundle } from './admit.ts'
import { asBase } from './damaged-base.ts'
import { executePlan } from './execute.ts'
import type { Machine } from './machine.ts'
import type { StepContext } from './runners.ts'

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
  const { manifest, variant, opened, plan } = ready
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
  { variant: { base: first }, facts }: ReadyBundle,
  onProgress: OnProgress,
): Promise<OpenRegion | undefined> {
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
