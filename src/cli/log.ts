import { Command } from 'commander'
import { type History, readHistory } from '../agent/history.ts'
import type { LogEvent } from '../boot/event-log.ts'
import { formatTime, oneLine } from '../core/format.ts'
import { describeProcess } from '../host/process.ts'
import { withMachine } from '../run/machine.ts'
import { type Io, printResult } from './io.ts'
import { examples, machineOptions, wholeNumber } from './options.ts'

interface LogOptions {
  disk?: string
  lines?: number
  json?: boolean
}

export function logCommand(io: Io): Command {
  const command = machineOptions(new Command('log'))
    .description(
      'Show what was done to this machine, and what each boot came to: times are UTC, the newest is last.',
    )
    .option('--lines <n>', 'only the last ones', wholeNumber('--lines', 1, 256))
    .action((options: LogOptions) => runLog(io, options))
  return examples(command, ['log', 'log --lines 20', 'log --json --disk web.img'])
}

async function runLog(io: Io, options: LogOptions): Promise<void> {
  await withMachine(io.host, { disk: options.disk, writable: false }, async (machine) => {
    const history = await readHistory(machine)
    const broken = brokenAfter(history)
    const lines = options.lines === undefined ? history.lines : history.lines.slice(-options.lines)
    const json = lines.map(({ sequence, event }) => ({
      sequence,
      ...event,
      ...(broken.has(sequence) && { interrupted: true }),
    }))
    const text = lines.flatMap(({ sequence, event }) =>
      broken.has(sequence) ? [describeEvent(event), interrupted(event)] : [describeEvent(event)],
    )
    if (history.atWork !== null) text.push(row('', 'at work', describeProcess(history.atWork)))
    printResult(io, { json, text: text.join('\n') || 'nothing was noted yet' }, options)
  })
}

/** Sequences of the last lines of runs that have no end. */
function brokenAfter({ runs }: History): Set<number> {
  return new Set(runs.flatMap(({ end, lines }) => (end === 'open' ? [lines.at(-1)?.sequence ?? 0] : [])))
}

/** `2026-11-25 17:00:03  apply     step       write image …` */
function describeEvent(event: LogEvent): string {
  const { intent = '', event: kind = '' } = event
  return kind === 'boot'
    ? rowAt(event, 'boot', event.verdict ?? '', describeBoot(event))
    : rowAt(event, intent, kind, textOf(event))
}

function textOf(event: LogEvent): string {
  const { outcome = '', digest, pid, command = '', step = '', code, message } = event
  switch (event.event) {
    case 'start':
      return `${outcome}${digest === undefined ? '' : ` Image ${digest}.`} By ${describeProcess({ pid: Number(pid), command })}.`
    case 'failed':
      return `${code}: ${message} (at: ${step})`
    default:
      return step
  }
}

function describeBoot({ slot, version, condition, left, reason }: LogEvent): string {
  const release = version === undefined ? 'an unknown release' : version
  const why = reason === undefined ? '' : `: ${reason}`
  return `slot ${slot} with ${release}, ${condition}, ${left} ${left === '1' ? 'try' : 'tries'} left${why}`
}

function interrupted({ intent = '' }: LogEvent): string {
  return row(intent, 'interrupted', 'nothing more was noted: a power cut, a crash, or somebody ended it')
}

function rowAt({ at = '' }: LogEvent, intent: string, kind: string, text: string): string {
  return row(intent, kind, text, formatTime(at))
}

function row(intent: string, kind: string, text: string, time = ''): string {
  return `${time.padEnd(19)}  ${intent.padEnd(8)}  ${kind.padEnd(11)}  ${oneLine(text)}`.trimEnd()
}
