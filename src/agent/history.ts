import type { LogEvent, LogLine } from '../boot/event-log.ts'
import { readLog } from '../boot/grub-state.ts'
import { type LockHolder, lockHolder } from '../host/lock-holder.ts'
import type { Machine } from '../run/machine.ts'

/** One plan that was run: from its start to its last line. */
export interface Run {
  lines: LogLine[]
  /** `open`: its end was never noted, and nothing says that it is still at work. */
  end: 'done' | 'failed' | 'open' | 'at work'
}

export interface History {
  /** Oldest first. */
  lines: LogLine[]
  runs: Run[]
  /** The process that works on the disk now. Null also where it is in another container and cannot be seen. */
  atWork: LockHolder | null
}

/** Reads the event log, and who is at work now. Throws `IO_FAILED`. */
export async function readHistory(machine: Machine): Promise<History> {
  const { host, bootstate } = machine
  for (let lines = await readLog(bootstate); ; ) {
    const holder = await lockHolder(host, bootstate)
    const atWork = holder === undefined || holder.shared ? null : holder
    // Whoever held the lock may have ended in between. Nobody holds it, and the log did not grow since: it is over.
    const again = atWork === null ? await readLog(bootstate) : lines
    if (again.at(-1)?.sequence === lines.at(-1)?.sequence) {
      return { lines, runs: runsOf(lines, atWork?.pid), atWork }
    }
    lines = again
  }
}

/** One at a time: what has no end when the next one starts never had one. */
export function runsOf(lines: readonly LogLine[], pidAtWork: number | undefined): Run[] {
  const runs: Run[] = []
  let current: LogLine[] | undefined
  for (const line of lines) {
    const { event } = line.event
    if (event === 'start') {
      current = [line]
      runs.push({ lines: current, end: 'open' })
    } else if (event === 'boot') current = undefined
    else current?.push(line)
  }
  const ended = runs.map((run): Run => ({ ...run, end: endOf(run) }))
  const last = ended.at(-1)
  if (last?.end === 'open' && startOf(last).pid === String(pidAtWork)) last.end = 'at work'
  return ended
}

function endOf({ lines }: Run): Run['end'] {
  const last = lines.at(-1)?.event
  if (last?.event === 'failed') return 'failed'
  // A restart may be quicker than the line after it.
  return last?.event === 'done' || last?.kind === 'reboot' ? 'done' : 'open'
}

/** What a run came to, for programs. */
export interface RunSummary {
  intent: string
  version: string | null
  startedAt: string
  /** Of the last line. */
  endedAt: string
  end: 'done' | 'failed' | 'interrupted' | 'at work'
  /** Where it did not get to its end: what it was doing, and the error if there was one. */
  step: string | null
  code: string | null
  message: string | null
}

export interface LastRuns {
  /** The last one that changed something or was to; not the routine after each boot. */
  attempt: RunSummary | null
  /** The release that became permanent last, as far back as the log goes. */
  confirmed: { version: string | null; at: string } | null
}

export function lastRuns({ runs }: Pick<History, 'runs'>): LastRuns {
  const attempt = runs.findLast((run) => !isRoutine(run))
  const confirmed = runs.findLast((run) => run.end === 'done' && isConfirmation(run))
  return {
    attempt: attempt === undefined ? null : summaryOf(attempt),
    confirmed:
      confirmed === undefined ? null : { version: versionOf(confirmed), at: timeOf(confirmed.lines.at(-1)) },
  }
}

function isRoutine(run: Run): boolean {
  const { intent } = startOf(run)
  return run.end === 'done' && (intent === 'verdict' || (intent === 'confirm' && !isConfirmation(run)))
}

/** It ended a trial, where others only refill the tries. */
function isConfirmation(run: Run): boolean {
  const { intent, condition } = startOf(run)
  return intent === 'confirm' && condition === 'on trial'
}

function summaryOf(run: Run): RunSummary {
  const last = run.lines.at(-1)?.event ?? {}
  const stopped = run.end === 'done' ? {} : last
  return {
    intent: startOf(run).intent ?? '',
    version: versionOf(run),
    startedAt: timeOf(run.lines[0]),
    endedAt: timeOf(run.lines.at(-1)),
    end: run.end === 'open' ? 'interrupted' : run.end,
    step: stopped.step ?? null,
    code: stopped.code ?? null,
    message: stopped.message ?? null,
  }
}

function startOf({ lines }: Run): LogEvent {
  return lines[0]?.event ?? {}
}

function versionOf(run: Run): string | null {
  return startOf(run).version ?? null
}

function timeOf(line: LogLine | undefined): string {
  return line?.event.at ?? ''
}
