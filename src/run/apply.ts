import type { Manifest, Variant } from '../bundle/manifest.ts'
import type { OpenedBundle } from '../bundle/reader.ts'
import { digestRegion } from '../core/digest-region.ts'
import { PineError } from '../core/error.ts'
import type { OnProgress } from '../core/progress.ts'
import type { OpenRegion, Region } from '../core/region.ts'
import { supportedCodecs, writeImage } from '../delta/apply.ts'
import { nativeCodecs } from '../host/delta-codecs.ts'
import type { Host } from '../host/host.ts'
import { nativeHashing } from '../host/native.ts'
import { type Facts, inactiveSlot, pendingTrial, runningSlot, slotBytes } from '../model/facts.ts'
import type { Settings } from '../model/settings.ts'
import { planApply } from '../plan/apply.ts'
import type { Plan } from '../plan/step.ts'
import { checkPolicy } from '../trust/policy.ts'
import { type Verified, verifyManifest } from '../trust/verify.ts'
import { executePlan } from './execute.ts'
import { readKeyring } from './keyring.ts'
import { type Machine, observe } from './machine.ts'
import type { StepContext } from './runners.ts'

export interface ApplyRequest {
  settings: Settings
  /** Folder or file; default: the configured one. */
  keyring: string | undefined
  /** Default: the configured number. */
  tries: number | undefined
  reboot: boolean
  allowDowngrade: boolean
  forceRejected: boolean
}

/** A bundle that was let in, and what would be done with it. */
export interface ReadyBundle {
  opened: OpenedBundle
  manifest: Verified<Manifest>
  /** The way of making the image that fits this machine. */
  variant: Variant
  facts: Facts
  /** Undefined where there is nothing to do. */
  plan: Plan | undefined
  /** Why there is nothing to do. */
  unchanged: string | undefined
}

/** Checks signatures, then policy, then makes the plan; nothing is written. Throws what refuses the bundle. */
export async function admitBundle(
  machine: Machine,
  opened: OpenedBundle,
  request: ApplyRequest,
): Promise<ReadyBundle> {
  const { settings } = request
  const keyring = await readKeyring(machine.host, request.keyring ?? settings.keyring)
  const manifest = verifyManifest(opened, keyring, { threshold: settings.threshold })
  const facts = await observe(machine)
  const now = machine.host.now()
  const running = facts.records.slots[runningSlot(facts)]
  const variant = checkPolicy(manifest, {
    compatible: settings.compatible ?? facts.records.compatible,
    installed: {
      version: running?.version ?? manifest.version,
      epoch: facts.records.epochFloor,
      ...(running === null ? {} : { digest: running.digest }),
    },
    rejected: facts.records.rejected.map((rejection) => rejection.digest),
    now,
    slotBytes: slotBytes(facts),
    memoryBytes: await availableMemory(machine.host),
    codecs: supportedCodecs(nativeCodecs()),
    allowDowngrade: request.allowDowngrade,
    forceRejected: request.forceRejected,
  })
  const unchanged = nothingToDo(facts, manifest)
  if (unchanged !== undefined) return { opened, manifest, variant, facts, plan: undefined, unchanged }
  const { digest, bytes, fs } = manifest.image
  const release = { digest, bytes, fs, version: manifest.version, epoch: manifest.epoch }
  const options = { tries: request.tries ?? settings.tries, reboot: request.reboot, now }
  return { opened, manifest, variant, facts, plan: planApply(facts, release, options), unchanged }
}

/** proc_meminfo(5): what can be had without swapping, and the swap. */
async function availableMemory(host: Host): Promise<number> {
  const text = ((await host.readFile('/proc/meminfo')) ?? '').toString()
  const kibibytes = (name: string) => Number(new RegExp(`^${name}: +(\\d+) kB$`, 'm').exec(text)?.[1] ?? 0)
  return (kibibytes('MemAvailable') + kibibytes('SwapFree')) * 1024
}

function nothingToDo(facts: Facts, { image, version }: Manifest): string | undefined {
  const { records } = facts
  const running = runningSlot(facts)
  if (records.slots[running]?.digest === image.digest) {
    return `${version} is what runs already, in slot ${running}`
  }
  const slot = inactiveSlot(facts)
  const armed = pendingTrial(facts) === slot && records.slots[slot]?.digest === image.digest
  return armed ? `${version} is in slot ${slot} already and boots next` : undefined
}

/**
 * Applies an admitted bundle. A base that is not what the bundle was made from is refused before the first write;
 * a segment that arrives damaged stops the plan before the slot is armed.
 */
export async function applyBundle(
  machine: Machine,
  ready: ReadyBundle & { plan: Plan },
  context: Pick<StepContext, 'onStep' | 'signal'> & { onBase: OnProgress },
): Promise<void> {
  const { manifest, variant, opened, plan } = ready
  const base = await openBase(machine, ready, context.onBase)
  try {
    await executePlan(plan, {
      ...context,
      machine,
      writeImage: async (target: Region, onProgress: OnProgress) => {
        const segments = opened.segments(manifest.variants, variant)
        const { signal } = context
        await writeImage({
          segments,
          manifest,
          variant,
          codecs: nativeCodecs(),
          target,
          base,
          signal,
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
  const region = await machine.disk.open(`rootfs-${running}`, { writable: false })
  const options = { hashing: nativeHashing(), bytes: first.bytes, onProgress }
  const found = first.bytes > region.bytes ? 'too small' : await digestRegion(region, options)
  if (found === first.digest) return region
  await region.close()
  throw baseMismatch(first.digest, `has ${found.slice(0, 12)} in slot ${running}`)
}

function baseMismatch(expected: string, found: string): PineError {
  return new PineError(
    'BASE_MISMATCH',
    `the bundle was made from image ${expected.slice(0, 12)}, this machine ${found}`,
    { hint: 'take the full bundle of the release, or the delta made from what runs here' },
  )
}
