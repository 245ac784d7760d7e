import type { Manifest } from '../bundle/manifest.ts'
import type { OpenedBundle } from '../bundle/reader.ts'
import { digestRegion } from '../core/digest-region.ts'
import { PineError } from '../core/error.ts'
import type { OnProgress } from '../core/progress.ts'
import type { OpenRegion, Region } from '../core/region.ts'
import { supportedCodecs, writeImage } from '../delta/apply.ts'
import type { Host } from '../host/host.ts'
import { nativeCodec } from '../host/native.ts'
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
  checkPolicy(manifest, {
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
    codecs: supportedCodecs(nativeCodec()),
    allowDowngrade: request.allowDowngrade,
    forceRejected: request.forceRejected,
  })
  const unchanged = nothingToDo(facts, manifest)
  if (unchanged !== undefined) return { opened, manifest, facts, plan: undefined, unchanged }
  const { digest, bytes, fs } = manifest.image
  const release = { digest, bytes, fs, version: manifest.version, epoch: manifest.epoch }
  const options = { tries: request.tries ?? settings.tries, reboot: request.reboot, now }
  return { opened, manifest, facts, plan: planApply(facts, release, options), unchanged }
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
  const { manifest, opened, plan } = ready
  const base = await openBase(machine, ready, context.onBase)
  try {
    await executePlan(plan, {
      ...context,
      machine,
      writeImage: async (target: Region, onProgress: OnProgress) => {
        const segments = opened.segments(manifest.segments)
        const { signal } = context
        await writeImage({
          segments,
          manifest,
          codec: nativeCodec(),
          target,
          onProgress,
          ...(base === undefined ? {} : { base }),
          ...(signal === undefined ? {} : { signal }),
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
  { manifest, facts }: ReadyBundle,
  onProgress: OnProgress,
): Promise<OpenRegion | undefined> {
  const [first] = manifest.bases
  if (first === undefined) return undefined
  const running = runningSlot(facts)
  const region = await machine.disk.open(`rootfs-${running}`, { writable: false })
  const found = first.bytes > region.bytes ? 'too small' : await digestRegion(region, first.bytes, onProgress)
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
