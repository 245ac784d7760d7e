import type { PineError } from '../core/error.ts'
import { formatBytes, formatDuration, formatTime, oneLine } from '../core/format.ts'
import type { LockHolder } from '../host/lock-holder.ts'
import { describeProcess } from '../host/process.ts'
import type { LastRuns, RunSummary } from './history.ts'
import type { SlotStatus, StatusReport } from './status.ts'

/** The report for a person. */
export function describeStatus(report: StatusReport): string[] {
  const lines = [
    `disk        ${report.disk}${report.live ? '' : ' (does not run)'}, for ${report.compatible ?? 'an unknown kind of host'}`,
  ]
  if (report.slots.every(({ booted }) => !booted)) lines.push(`booted      ${describeNoSlot(report)}`)
  for (const slot of report.slots) lines.push(describeSlot(slot))
  lines.push(`next boot   ${describeNext(report)}`)
  if (report.trial?.triesLeft === 0) {
    lines.push(`trial       ${report.trial.version} in slot ${report.trial.slot} runs on its last try`)
  }
  if (report.takeover !== null) lines.push(`takeover    ${TAKEOVERS[report.takeover]}`)
  if (!report.loaderSeesState) {
    lines.push('WARNING     the loader of this boot did not read this boot state; updates are refused')
  }
  const { epochFloor, versionFloor, keyList } = report
  if (versionFloor !== null)
    lines.push(`floors      version ${versionFloor}, epoch ${epochFloor}: older releases are refused`)
  if (keyList !== null) lines.push(`keys        list ${keyList}, learnt since this disk was built`)
  for (const { version, at, reason, digest } of report.rejected) {
    lines.push(`rejected    ${version} (${digest.slice(0, 12)}) at ${at}: ${reason}`)
  }
  return lines
}

const TAKEOVERS = {
  rehearsal: 'a rehearsal; "pine-update confirm" says that this system is good',
  committed: 'the old system is there, and starts where this one does not; "hijack reclaim" gives it up',
} as const

function describeNoSlot({ live, bootStateReadable }: StatusReport): string {
  if (live) return 'no slot of this disk: the loader named none'
  return bootStateReadable ? 'not yet' : 'unknown'
}

function describeSlot({ slot, booted, condition, triesLeft, image, verified }: SlotStatus): string {
  const holds =
    image === null
      ? 'no known image'
      : `${image.version} (${image.digest.slice(0, 12)}, ${formatBytes(image.bytes)})`
  const tries = triesLeft === 1 ? '1 try left' : `${triesLeft ?? 'unknown'} tries left`
  const looked = { true: ', verified', false: ', DOES NOT HOLD IT', null: '' }[`${verified}`]
  return `slot ${slot}      ${booted ? 'booted, ' : ''}${condition}, ${tries}: ${holds}${looked}`
}

function describeNext({ nextBoot, trial, bootStateReadable }: StatusReport): string {
  if (nextBoot === 'r') return 'the old system'
  if (!bootStateReadable) return 'whichever slot loads, a first; nothing is counted'
  if (nextBoot === null) return 'nothing can boot; the loader waits and starts over'
  if (trial?.slot !== nextBoot) return `slot ${nextBoot}`
  return `slot ${nextBoot}: ${trial.version} on trial`
}

/** Who is at work now; nothing where nobody is. */
export function describeAtWork(atWork: LockHolder | null): string[] {
  if (atWork === null) return []
  const since = formatDuration(atWork.runningMs)
  return [
    `at work     ${describeProcess(atWork)}, for ${since}; a slot that it writes has no known image yet`,
  ]
}

/** What was done last, and what became of it. */
export function describeLast({ attempt, confirmed }: LastRuns): string[] {
  const lines = attempt === null ? [] : [`last        ${describeRun(attempt)}`]
  if (confirmed !== null) {
    const { version, at } = confirmed
    lines.push(`confirmed   ${version ?? 'an unknown release'} at ${formatTime(at)} UTC`)
  }
  return lines
}

function describeRun({ intent, version, endedAt, end, step, code, message }: RunSummary): string {
  const what = version === null ? intent : `${intent} of ${version}`
  const at = `${formatTime(endedAt)} UTC`
  if (end === 'done') return `${what} done at ${at}`
  if (end === 'failed') return `${what} failed at ${at}: ${code}: ${oneLine(message ?? '')}`
  const where = step === null ? '' : `: ${step}`
  return end === 'at work' ? `${what} at work${where}` : `${what} was interrupted after ${at}${where}`
}

/** What cannot be read, or is not what it should be. */
export function describeProblems(problems: readonly PineError[]): string[] {
  return problems.flatMap(({ code, message, hint }) => [
    `PROBLEM     ${code}: ${message}`,
    ...(hint === undefined ? [] : [`            ${hint}`]),
  ])
}
