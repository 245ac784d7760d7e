import { decodeKeyLists } from '../bundle/key-list.ts'
import { contentOf, type Manifest } from '../bundle/manifest.ts'
import type { OpenedBundle } from '../bundle/reader.ts'
import { type Check, requirePassed } from '../core/check.ts'
import { supportedCodecs } from '../delta/apply.ts'
import { nativeCodecs } from '../host/delta-codecs.ts'
import type { Host } from '../host/host.ts'
import { memoryLeftInGroups } from '../host/memory-limit.ts'
import { type Facts, inactiveSlot, pendingTrial, runningSlot } from '../model/facts.ts'
import { kindOfRecord } from '../model/records.ts'
import type { Settings } from '../model/settings.ts'
import { planApply } from '../plan/apply.ts'
import { checkStart, type StateSpace } from '../plan/preflight.ts'
import type { Plan } from '../plan/step.ts'
import { followKeyLists, type TrustedKeys } from '../trust/key-list.ts'
import { type Chosen, type HostPolicy, judgeBundle } from '../trust/policy.ts'
import { verifyManifest } from '../trust/verify.ts'
import { type Machine, observe } from './machine.ts'
import { readTrustedKeys, storedForm } from './trusted-keys.ts'

export interface ApplyRequest {
  settings: Settings
  /** Folder or file whose keys count instead of the configured and the remembered ones. */
  keyring: string | undefined
  /** Default: the configured number. */
  tries: number | undefined
  reboot: boolean
  allowDowngrade: boolean
  allowExpired: boolean
  forceRejected: boolean
}

/** A bundle that was let in, and what would be done with it. */
export interface ReadyBundle {
  opened: OpenedBundle
  /** Its manifest, and the way of making the image or tree that fits this machine. */
  chosen: Chosen
  facts: Facts
  /** All that was looked at, with numbers. */
  checks: readonly Check[]
  /** Undefined where there is nothing to do. */
  plan: Plan | undefined
  /** Why there is nothing to do. */
  unchanged: string | undefined
}

/**
 * Checks signatures, then everything else at once, then makes the plan; nothing is written. Throws what refuses the
 * bundle: the first reason, with all others in `also`.
 */
export async function admitBundle(
  machine: Machine,
  opened: OpenedBundle,
  request: ApplyRequest,
): Promise<ReadyBundle> {
  const { host } = machine
  const facts = await observe(machine)
  const keys = await keysFor(host, { facts, opened, request })
  const manifest = verifyManifest(opened, keys.release.keys, { threshold: keys.release.threshold })
  const { chosen, checks: judged } = judgeBundle(manifest, await policyOf(machine, { facts, keys, request }))
  const ready = { opened, chosen, facts }
  const release = { ...contentOf(manifest), version: manifest.version, epoch: manifest.epoch }
  const state = facts.live ? await stateSpace(host) : undefined
  const unchanged = nothingToDo(facts, manifest)
  if (unchanged !== undefined) {
    requirePassed(judged)
    return { ...ready, checks: judged, plan: undefined, unchanged }
  }
  const checks = [...judged, ...checkStart(facts, release, state)]
  requirePassed(checks)
  const remembered = request.keyring === undefined ? storedForm(keys, facts.records) : null
  const trust = { keys: remembered, time: Math.max(manifest.created, keys.created) }
  const options = { tries: request.tries ?? request.settings.tries, reboot: request.reboot, trust, state }
  return { ...ready, checks, plan: planApply(facts, release, { ...options, now: host.now() }), unchanged }
}

interface Case {
  facts: Facts
  opened: OpenedBundle
  keys: TrustedKeys
  request: ApplyRequest
}

/** The keys of this host, and then whatever newer list the bundle carries and they vouch for. */
async function keysFor(host: Host, { facts, opened, request }: Omit<Case, 'keys'>): Promise<TrustedKeys> {
  const { settings, keyring } = request
  const trusted = await readTrustedKeys(host, {
    path: keyring ?? settings.keyring,
    threshold: settings.threshold,
    stored: keyring === undefined ? facts.records.keys : undefined,
  })
  return opened.keyListBytes.length === 0
    ? trusted
    : followKeyLists(trusted, decodeKeyLists(opened.keyListBytes))
}

async function policyOf(
  { host, disk }: Machine,
  { facts, keys, request }: Omit<Case, 'opened'>,
): Promise<HostPolicy> {
  const { records } = facts
  const running = records.slots[runningSlot(facts)]
  const { versionFloor, epochFloor, timeFloor } = records
  const slotKind = kindOfRecord(running)
  const slot = await disk.slotCapacity(inactiveSlot(facts), slotKind)
  return {
    compatible: request.settings.compatible ?? records.compatible,
    installed: {
      version: running?.version ?? '0',
      ...(running !== null && { digest: running.digest }),
    },
    slotKind,
    treeFiles: { files: records.treeFiles, sharesBase: disk.sharesSlots && records.treeFiles === 'link' },
    floor: { epoch: epochFloor, ...(versionFloor !== undefined && { version: versionFloor }) },
    rejected: records.rejected.map((rejection) => rejection.digest),
    now: host.now(),
    timeFloor,
    keys,
    slotBytes: slot.bytes,
    slotInodes: slot.inodes,
    memoryBytes: await availableMemory(host),
    codecs: supportedCodecs(nativeCodecs()),
    allowDowngrade: request.allowDowngrade,
    allowExpired: request.allowExpired,
    forceRejected: request.forceRejected,
  }
}

/** proc_meminfo(5): what can be had without swapping, and the swap; less where a container or unit is limited. */
async function availableMemory(host: Host): Promise<number> {
  const text = ((await host.readFile('/proc/meminfo')) ?? '').toString()
  const kibibytes = (name: string) => Number(new RegExp(`^${name}: +(\\d+) kB$`, 'm').exec(text)?.[1] ?? 0)
  const machine = (kibibytes('MemAvailable') + kibibytes('SwapFree')) * 1024
  return Math.min(machine, await memoryLeftInGroups(host))
}

const PROBE = '/var/tmp/pine-update-space'

/** /var is on the state partition of a running machine. */
async function stateSpace(host: Host): Promise<StateSpace> {
  const freeBytes = await host.freeBytes('/var')
  try {
    await host.replaceFile(PROBE, '')
    await host.removeFile(PROBE)
    return { writable: true, freeBytes }
  } catch {
    return { writable: freeBytes === 0, freeBytes }
  }
}

function nothingToDo(facts: Facts, manifest: Manifest): string | undefined {
  const { version } = manifest
  const { digest } = contentOf(manifest)
  const { records } = facts
  const running = runningSlot(facts)
  if (records.slots[running]?.digest === digest) {
    return `${version} is what runs already, in slot ${running}`
  }
  const slot = inactiveSlot(facts)
  const armed = pendingTrial(facts) === slot && records.slots[slot]?.digest === digest
  return armed ? `${version} is in slot ${slot} already and boots next` : undefined
}
