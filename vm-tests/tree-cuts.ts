import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { treeCutKit } from './lib/tree-cut-kit.ts'
import { describeTreeCuts } from './lib/tree-cut-report.ts'
import { cutTreeUpdate } from './lib/tree-cuts.ts'
import { recordTreeUpdate } from './lib/tree-recording.ts'

// An update of a tree slot, recorded once in qemu, whose power is cut at all its moments: npm run tree-cuts -- --cuts 3000 --seed 1

const { values: options } = parseArgs({
  options: {
    cuts: { type: 'string', default: '3000' },
    follow: { type: 'string', default: '10' },
    seed: { type: 'string', default: '1' },
  },
})

function wholeNumber(name: keyof typeof options): number {
  const value = Number(options[name])
  if (Number.isSafeInteger(value) && value >= 0) return value
  throw new Error(`--${name} takes a whole number, not ${options[name]}`)
}

async function run(): Promise<void> {
  const start = performance.now()
  const seconds = () => Math.round((performance.now() - start) / 1000)
  const numbers = { cuts: wholeNumber('cuts'), follow: wholeNumber('follow'), seed: wholeNumber('seed') }
  const kit = treeCutKit()
  const dir = mkdtempSync(join(tmpdir(), 'pine-tree-cuts-'))
  console.log(`disks and serial logs: ${dir}`)
  const recording = await recordTreeUpdate(kit, dir)
  console.log(`${recording.log.length} writes and flushes recorded in ${seconds()} s`)
  const report = await cutTreeUpdate({ ...numbers, recording, dir })
  for (const problem of report.problems) console.log(`FAILED: ${problem}`)
  console.log(`${describeTreeCuts(report)}, ${seconds()} s`)
  if (report.problems.length > 0) process.exitCode = 1
}

// Ends by itself, so that no machine is left behind.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))
void run()
