import { Command } from 'commander'
import { describeStatus, statusOf } from '../agent/status.ts'
import { readLog } from '../boot/grub-state.ts'
import { observe, withMachine } from '../run/machine.ts'
import { readSettings } from '../run/settings.ts'
import { type Io, printResult } from './io.ts'
import { examples, machineOptions } from './options.ts'

interface StatusOptions {
  disk?: string
  config?: string
  log?: boolean
  json?: boolean
}

export function statusCommand(io: Io): Command {
  const command = machineOptions(new Command('status'))
    .description('Show both slots, what boots next, and what was rejected and why.')
    .option('--log', 'also show the event log')
    .action((options: StatusOptions) => runStatus(io, options))
  return examples(command, ['status', 'status --json', 'status --log --disk web.img'])
}

async function runStatus(io: Io, options: StatusOptions): Promise<void> {
  const settings = await readSettings(io.host, options.config)
  await withMachine(io.host, { disk: options.disk, writable: false }, async (machine) => {
    const report = statusOf(await observe(machine), settings)
    const events = options.log === true ? await readLog(machine.bootstate) : []
    const etcConflicts = report.live ? await readConflicts(io) : []
    const lines = [
      describeStatus(report),
      ...describeConflicts(etcConflicts),
      ...events.map((event) => JSON.stringify(event)),
    ]
    const json = { ...report, etcConflicts, ...(options.log === true ? { events } : {}) }
    printResult(io, { json, text: lines.join('\n') }, options)
  })
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
