import type { LogEvent } from '../boot/event-log.ts'
import { openLog } from '../boot/grub-state.ts'
import { PineError } from '../core/error.ts'
import { readProcess } from '../host/process.ts'
import type { SlotName } from '../model/boot-state.ts'
import type { Facts } from '../model/facts.ts'
import type { ImageRecord } from '../model/records.ts'
import { describeStep } from '../plan/describe.ts'
import type { Plan, Step } from '../plan/step.ts'
import type { Verdict } from '../plan/verdict.ts'
import { type Machine, observe } from './machine.ts'

/** Notes in the event log what becomes of one plan. After its start none of this throws: the machine counts, not the log. */
export interface Journal {
  step(step: Step): Promise<void>
  failed(step: Step, error: unknown): Promise<void>
  done(): Promise<void>
}

/**
 * Notes who starts what. Where that cannot be written, what puts something new on the machine does not begin, since the
 * same partition is to take the flip; what leads out of trouble goes on, and says so.
 */
export async function startJournal(machine: Machine, plan: Plan): Promise<Journal> {
  const { intent, outcome } = plan
  const who = await readProcess(machine.host, 'self')
  const by: LogEvent = who === undefined ? {} : { pid: String(who.pid), command: who.command }
  const first = { event: 'start', intent, outcome, ...(await subjectOf(machine, plan)), ...by }
  const isNew = intent === 'apply' || intent === 'trust'
  const note = await openNotes(machine, first).catch((error: unknown): Note => {
    if (isNew) throw error
    machine.notice(unlogged(error))
    return async () => undefined
  })
  return {
    step: (step) => note({ event: 'step', intent, kind: step.kind, step: describeStep(step) }),
    failed: (step, error) => note({ event: 'failed', intent, step: describeStep(step), ...reasonOf(error) }),
    done: () => note({ event: 'done', intent }),
  }
}

/** Notes which slot was booted, and what the health checks say of it. Never throws. */
export async function noteBoot(machine: Machine, facts: Facts, verdict: Verdict): Promise<void> {
  const slot = facts.booted
  if (slot === null) return
  const event = {
    event: 'boot',
    slot,
    ...imageEvent(facts.records.slots[slot]),
    condition: conditionOf(facts, slot),
    left: String(facts.boot.slots[slot].left),
    verdict: verdict.healthy ? 'healthy' : 'unhealthy',
    ...(verdict.reason !== '' && { reason: verdict.reason }),
  }
  await openNotes(machine, event).catch((error: unknown) => machine.notice(unlogged(error)))
}

type Note = (event: LogEvent) => Promise<void>

/** Throws where the first event cannot be written; of later ones that cannot be it tells once. */
async function openNotes({ bootstate, host, notice }: Machine, first: LogEvent): Promise<Note> {
  const log = await openLog(bootstate)
  const append: Note = (event) => log.append({ at: host.now().toISOString(), ...event })
  await append(first)
  let told = false
  return (event) =>
    append(event).catch((error: unknown) => {
      if (!told) notice(unlogged(error))
      told = true
    })
}

function unlogged(error: unknown): string {
  return `the event log cannot be written, going on without it: ${messageOf(error)}`
}

/** The slot that the plan is about, and the image that is there or will be. */
async function subjectOf(machine: Machine, { intent, steps }: Plan): Promise<LogEvent> {
  const slot = steps.find((step) => 'slot' in step)?.slot
  if (slot === undefined) return {}
  const written = steps.find((step) => step.kind === 'record-image')?.record
  const facts = await observe(machine).catch(() => undefined)
  const image = imageEvent(written ?? facts?.records.slots[slot] ?? null)
  // Of a confirmation: whether it makes a release permanent, or only refills the tries of one that is.
  return intent !== 'confirm' || facts === undefined
    ? { slot, ...image }
    : { slot, ...image, condition: conditionOf(facts, slot) }
}

function conditionOf({ boot }: Facts, slot: SlotName): string {
  return boot.slots[slot].confirmed ? 'confirmed' : 'on trial'
}

function imageEvent(image: ImageRecord | null): LogEvent {
  return image === null ? {} : { version: image.version, digest: image.digest.slice(0, 12) }
}

function reasonOf(error: unknown): LogEvent {
  const interrupted = error instanceof Error && error.name === 'AbortError'
  const code = error instanceof PineError ? error.code : interrupted ? 'INTERRUPTED' : 'BUG'
  return { code, message: messageOf(error) }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
