import { Command } from 'commander'
import { checkHealth, type HealthReport } from '../agent/health.ts'
import { ERROR_CODES } from '../core/error.ts'
import type { Host } from '../host/host.ts'
import { planVerdict } from '../plan/verdict.ts'
import { isRehearsal } from '../run/disk.ts'
import { executePlan } from '../run/execute.ts'
import { noteBoot } from '../run/journal.ts'
import { observe, withMachine } from '../run/machine.ts'
import { readSettings } from '../run/settings.ts'
import { type Io, noticeOn, printResult } from './io.ts'
import { examples, machineOptions } from './options.ts'

interface HealthOptions {
  disk?: string
  config?: string
  boot?: boolean
  json?: boolean
}

export function healthCommand(io: Io, setExitCode: (code: number) => void): Command {
  const command = machineOptions(new Command('health'))
    .description('Run the health checks: systemd, ports, health.d. Exit code 4 when one fails.')
    .option('--boot', 'act on the verdict: confirm a good release, reject a bad one on trial and restart')
    .action((options: HealthOptions) => runHealth(io, options, setExitCode))
  return examples(command, ['health', 'health --json', 'health --boot    # what the service does after boot'])
}

async function runHealth(io: Io, options: HealthOptions, setExitCode: (code: number) => void): Promise<void> {
  const settings = await readSettings(io.host, options.config)
  const live = options.disk === undefined
  const network = live && (await isTakeover(io.host))
  const report = await checkHealth(io.host, settings.health, { live, network })
  const outcome = options.boot === true ? await actOn(io, report, options) : undefined
  const text = [...report.checks.map(describeCheck), outcome ?? summary(report)].join('\n')
  printResult(io, { json: { ...report, outcome: outcome ?? null }, text }, options)
  if (!report.healthy) setExitCode(ERROR_CODES.UNHEALTHY)
}

/** A release that nobody reaches would be worse than the old system, which is still there. */
async function isTakeover(host: Host): Promise<boolean> {
  const options = { disk: undefined, writable: false }
  return withMachine(host, options, async (machine) => (await observe(machine)).takeover !== null).catch(
    () => false,
  )
}

async function actOn(io: Io, report: HealthReport, { disk }: HealthOptions): Promise<string> {
  // Before anything that may wait or fail: a healthy boot must not be cut short because another command is at work.
  // In a rehearsal it is what leads back to the old system.
  if (report.healthy && disk === undefined && !(await isRehearsal(io.host))) await io.host.stopWatchdog()
  return withMachine(
    io.host,
    { disk, writable: true, patient: true, notice: noticeOn(io) },
    async (machine) => {
      const facts = await observe(machine)
      await noteBoot(machine, facts, report)
      const plan = planVerdict(facts, report, io.host.now())
      await executePlan(plan, { machine, onStep: () => undefined })
      return plan.outcome
    },
  )
}

function describeCheck({ name, healthy, reason, durationMs }: HealthReport['checks'][number]): string {
  return `${healthy ? 'ok    ' : 'FAILED'}  ${name} (${durationMs} ms)${healthy ? '' : `: ${reason}`}`
}

function summary({ healthy }: HealthReport): string {
  return healthy ? 'healthy' : 'not healthy'
}
