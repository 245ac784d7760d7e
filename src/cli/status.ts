import { Command } from 'commander'
import { describeAtWork, describeLast, describeProblems, describeStatus } from '../agent/describe-status.ts'
import { type History, lastRuns } from '../agent/history.ts'
import { lookAt } from '../agent/look.ts'
import { statusOf } from '../agent/status.ts'
import { verifySlots } from '../agent/verify-slots.ts'
import type { SlotName } from '../model/boot-state.ts'
import { type Machine, withMachine } from '../run/machine.ts'
import { readSettings } from '../run/settings.ts'
import { errorDocument } from './errors.ts'
import { type Io, printResult } from './io.ts'
import { examples, machineOptions } from './options.ts'
import { createProgress } from './progress.ts'

interface StatusOptions {
  disk?: string
  config?: string
  verify?: boolean
  json?: boolean
}

export function statusCommand(io: Io, setExitCode: (code: number) => void): Command {
  const command = machineOptions(new Command('status'))
    .description('Show both slots, what boots next, what was done last, and what was rejected and why.')
    .option(
      '--verify',
      'read both slots and compare them with what is recorded; exit code 1 where they differ',
    )
    .action((options: StatusOptions) => runStatus(io, options, setExitCode))
  return examples(command, ['status', 'status --json', 'status --verify --disk web.img'])
}

async function runStatus(io: Io, options: StatusOptions, setExitCode: (code: number) => void): Promise<void> {
  const settings = await readSettings(io.host, options.config)
  await withMachine(io.host, { disk: options.disk, writable: false }, async (machine) => {
    const { seen, history, problems: unread } = await lookAt(machine)
    const status = statusOf(seen, settings)
    const read = options.verify === true ? await verified(io, machine, status.slots) : undefined
    const report = { ...status, slots: read?.slots ?? status.slots }
    const problems = [...unread, ...(read?.problems ?? [])]
    const last = lastRuns(history)
    const etcConflicts = report.live ? await readConflicts(io) : []
    const lines = [
      ...describeStatus(report),
      ...(options.verify === true ? describeAtRoot(machine.disk.atRoot) : []),
      ...describeAtWork(history.atWork),
      ...describeLast(last),
      ...describeConflicts(etcConflicts),
      ...describeProblems(problems),
    ]
    const atWork = atWorkDocument(io, history)
    const json = { ...report, atWork, last, etcConflicts, problems: problems.map(errorDocument) }
    printResult(io, { json, text: lines.join('\n') }, options)
    if (problems.length > 0) setExitCode(1)
  })
}

async function verified(io: Io, machine: Machine, slots: Parameters<typeof verifySlots>[1]) {
  const progress = createProgress(io)
  try {
    return await verifySlots(machine, slots, ({ slot, image }, done, total) =>
      progress.update(`read slot ${slot}`, done, total, image.fs === 'tree' ? 'objects' : undefined),
    )
  } finally {
    progress.end()
  }
}

function describeAtRoot(slot: SlotName | null): string[] {
  return slot === null
    ? []
    : [`not read    slot ${slot}: it is the root of this container, where it may be changed`]
}

function atWorkDocument(io: Io, { atWork }: History): unknown {
  if (atWork === null) return null
  const { pid, command, runningMs } = atWork
  return { pid, command, since: new Date(io.host.now().getTime() - runningMs).toISOString() }
}

const CONFLICTS = '/etc/.pine-new/CONFLICTS'

/** What the merge of /etc left to a person, one `KIND path` each; see docs/boot.md. */
async function readConflicts(io: Io): Promise<string[]> {
  const report = await io.host.readFile(CONFLICTS)
  return (report?.toString() ?? '').split('\n').filter(Boolean)
}

function describeConflicts(conflicts: readonly string[]): string[] {
  return conflicts.length === 0 ? [] : [`/etc        ${conflicts.length} to look at, see ${CONFLICTS}`]
}
