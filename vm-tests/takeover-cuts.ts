import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { seededRandom, seedFor } from '../test/power-cut/random.ts'
import { TAKEOVERS } from './lib/takeover-box.ts'
import { takeoverCargo } from './lib/takeover-cargo.ts'
import { CUT_PHASES, type CutKit, cutOnce, prepareCuts } from './lib/takeover-cuts.ts'

// A takeover whose power is cut at random times: npm run takeover-cuts -- --cuts 20 --seed 1

const { values: options } = parseArgs({
  options: {
    cuts: { type: 'string', default: '20' },
    seed: { type: 'string', default: '1' },
  },
})

/** In every phase so many, one machine after another. */
async function run(): Promise<void> {
  const start = performance.now()
  const seconds = () => Math.round((performance.now() - start) / 1000)
  const dir = mkdtempSync(join(tmpdir(), 'pine-takeover-cuts-'))
  console.log(`disks and serial logs: ${dir}`)
  const kit = await prepareCuts({ ...TAKEOVERS['debian-12'], memoryMiB: 512 }, takeoverCargo(dir), dir)
  console.log(`prepared in ${seconds()} s`)
  let failures = 0
  for (let number = 0; number < Number(options.cuts); number++) failures += await cutEachPhase(kit, number)
  console.log(`${Number(options.cuts) * CUT_PHASES.length} cuts, ${failures} failures, ${seconds()} s`)
  if (failures > 0) process.exitCode = 1
}

async function cutEachPhase(kit: CutKit, number: number): Promise<number> {
  let failures = 0
  for (const phase of CUT_PHASES) {
    const random = seededRandom(seedFor(Number(options.seed), phase, number))
    const name = `${phase}-${number}`
    await cutOnce(kit, phase, name, random).then(console.log, (error: Error) => {
      failures++
      console.log(`FAILED: ${error.message}`)
    })
  }
  return failures
}

// Ends by itself, so that no machine is left behind.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))
void run()
