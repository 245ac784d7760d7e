import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { powerKit } from './lib/power-kit.ts'
import { addReport, describeReport, emptyReport } from './lib/power-report.ts'
import { runStories } from './lib/power-run.ts'

// Real machines of qemu whose power is cut at random times: npm run soak -- --kills 500 --seed 1

const { values: options } = parseArgs({
  options: {
    kills: { type: 'string', default: '500' },
    seed: { type: 'string', default: '1' },
  },
})

function wholeNumber(name: 'kills' | 'seed'): number {
  const value = Number(options[name])
  if (Number.isSafeInteger(value) && value >= 0) return value
  throw new Error(`--${name} takes a whole number, not ${options[name]}`)
}

/** Two at a time, with disks that firmware sees differently. */
async function run(): Promise<void> {
  const start = performance.now()
  const kills = wholeNumber('kills')
  const seed = wholeNumber('seed')
  const kit = powerKit()
  const dir = mkdtempSync(join(tmpdir(), 'pine-soak-'))
  console.log(`disks and serial logs: ${dir}`)
  const machines = [
    { bus: 'virtio', kills: Math.ceil(kills / 2), seed },
    { bus: 'scsi', kills: Math.floor(kills / 2), seed: seed + 1 },
  ] as const
  const ended = await Promise.allSettled(
    machines.map((machine) => runStories({ ...machine, kit, dir, name: machine.bus, onKill: console.log })),
  )
  const report = emptyReport()
  for (const end of ended) {
    if (end.status === 'fulfilled') addReport(report, end.value)
    else console.log(`FAILED: ${end.reason instanceof Error ? end.reason.message : end.reason}`)
  }
  const failures = ended.filter(({ status }) => status === 'rejected').length
  console.log(describeReport(report))
  console.log(`${failures} failures, ${Math.round((performance.now() - start) / 1000)} s`)
  if (failures > 0) process.exitCode = 1
}

// Ends by itself, so that no machine is left behind.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))
void run()
