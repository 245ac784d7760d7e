import { preferLoader } from '../boot/firmware-choice.ts'
import { writeMeta } from '../boot/grub-state.ts'
import type { OnProgress } from '../core/progress.ts'
import type { Region } from '../core/region.ts'
import { arm, type BootState, confirm, disarm, reject, type SlotName } from '../model/boot-state.ts'
import { type Records, withRejection } from '../model/records.ts'
import type { Step, StepKind } from '../plan/step.ts'
import { type Machine, readRecords, requireLayout } from './machine.ts'
import { requireImage } from './require-image.ts'
import { requireTree } from './tree.ts'

/** What the steps of one plan work on. */
export interface StepContext {
  machine: Machine
  /** Puts the image into the slot; only a plan with `write-image` needs it. */
  writeImage?: (slot: Region, onProgress: OnProgress) => Promise<void>
  /** Makes the tree in the slot; only a plan with `write-tree` needs it. */
  writeTree?: (slot: SlotName, onProgress: OnProgress) => Promise<void>
  /** Called at the start of each step, and often in long ones. */
  onStep: (step: Step, doneBytes?: number, totalBytes?: number) => void
  signal?: AbortSignal
}

type Runner<K extends StepKind> = (step: Extract<Step, { kind: K }>, context: StepContext) => Promise<void>

/** A new kind of step does not compile until it has a runner. Each may be run again after a crash. */
const RUNNERS: { [K in StepKind]: Runner<K> } = {
  'disarm-slot': ({ slot }, context) => changeBoot(context, (boot) => disarm(boot, slot)),
  'arm-slot': ({ slot, tries, keepEtc }, context) =>
    changeBoot(context, (boot) => arm(boot, slot, tries, keepEtc)),
  'confirm-slot': ({ slot }, context) => changeBoot(context, (boot) => confirm(boot, slot)),
  'reject-slot': ({ slot }, context) => changeBoot(context, (boot) => reject(boot, slot)),
  'forget-image': ({ slot }, context) => changeRecords(context, (records) => withImage(records, slot, null)),
  'record-image': ({ slot, record }, context) =>
    changeRecords(context, (records) => withImage(records, slot, record)),
  'record-trial': ({ trial }, context) => changeRecords(context, (records) => ({ ...records, trial })),
  'record-rejection': ({ rejection }, context) =>
    changeRecords(context, (records) => withRejection(records, rejection)),
  'set-floors': ({ epoch, version }, context) =>
    changeRecords(context, (records) => ({
      ...records,
      epochFloor: Math.max(records.epochFloor, epoch),
      versionFloor: version,
    })),
  'record-trust': ({ keys, time }, context) =>
    changeRecords(context, (records) => ({
      ...records,
      ...(keys !== null && keys.version > (records.keys?.version ?? 0) && { keys }),
      timeFloor: Math.max(records.timeFloor, time),
    })),
  'write-image': async (step, context) => {
    const { writeImage } = context
    if (writeImage === undefined) throw new Error('a plan with write-image needs a source')
    await withSlot(context, step.slot, true, (slot) =>
      writeImage(slot, (done, total) => context.onStep(step, done, total)),
    )
  },
  'write-tree': async (step, context) => {
    const { writeTree } = context
    if (writeTree === undefined) throw new Error('a plan with write-tree needs a source')
    await writeTree(step.slot, (done, total) => context.onStep(step, done, total))
  },
  'flush-slot': ({ slot }, { machine }) => machine.disk.flushSlot(slot),
  'verify-image': (step, context) =>
    withSlot(context, step.slot, false, (region) =>
      requireImage(
        region,
        {
          slot: step.slot,
          digest: step.image,
          bytes: step.bytes,
          hint: 'dmesg and smartctl; nothing was armed',
        },
        (done, total) => {
          context.signal?.throwIfAborted()
          context.onStep(step, done, total)
        },
      ),
    ),
  'verify-tree': (step, { machine, signal, onStep }) =>
    requireTree(machine.disk, {
      slot: step.slot,
      commit: step.commit,
      signal,
      onProgress: (done, total) => onStep(step, done, total),
    }),
  'prefer-loader': (_step, { machine }) => preferLoader(machine.host, requireLayout(machine.disk)),
  'stop-watchdog': async (_step, { machine }) => void (await machine.host.stopWatchdog()),
  reboot: async (_step, { machine }) => {
    if (machine.disk.live) await machine.host.exec('systemctl', ['reboot', '--no-block'])
  },
}

/** Runs one step. Throws what the step throws; the machine then boots what it booted before. */
export async function runStep<K extends StepKind>(
  step: Extract<Step, { kind: K }>,
  context: StepContext,
): Promise<void> {
  const runner = RUNNERS[step.kind] as Runner<K> // the key is the step's own kind
  await runner(step, context)
}

async function changeBoot({ machine }: StepContext, change: (boot: BootState) => BootState): Promise<void> {
  await machine.loader.change(machine.bootstate, change)
}

async function changeRecords({ machine }: StepContext, change: (records: Records) => Records): Promise<void> {
  await writeMeta(machine.bootstate, change(await readRecords(machine)))
}

function withImage(records: Records, slot: SlotName, image: Records['slots']['a']): Records {
  return { ...records, slots: { ...records.slots, [slot]: image } }
}

async function withSlot(
  { machine }: StepContext,
  slot: SlotName,
  writable: boolean,
  use: (region: Region) => Promise<void>,
): Promise<void> {
  const region = await machine.disk.open(`rootfs-${slot}`, { writable })
  try {
    await use(region)
  } finally {
    await region.close()
  }
}
