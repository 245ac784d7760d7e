import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Tally } from '../tally.ts'
import { BROKEN_SCRIPTS, breakScripts } from './broken-scripts.ts'
import { exploreState } from './explore-state.ts'
import { openLab, whyNoLab } from './lab.ts'
import { STATE_PHASES, type StatePhase } from './phases.ts'

// The scripts of the initramfs on a real ext4, whose every write and flush is recorded; a little of `npm run power-cut`.

const SYSTEM = join(import.meta.dirname, '../../../src/system')
const noLab = whyNoLab()
if (noLab !== undefined) console.warn(`skipped: power cuts on the state partition, since ${noLab}`)

let dir: string
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'pine-scripts-'))
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

async function lookAt(
  phase: StatePhase,
  { system, outcomes, untilBad }: { system: string; outcomes: number; untilBad?: boolean },
): Promise<Tally> {
  const lab = openLab(system)
  try {
    return await exploreState({ lab, phase, seed: 1, outcomes, untilBad })
  } finally {
    lab.close()
  }
}

describe.skipIf(noLab !== undefined)('power cuts on the state partition', () => {
  test.each(STATE_PHASES)('$name: the next start makes up for it', async (phase) => {
    const tally = await lookAt(phase, { system: SYSTEM, outcomes: 8 })
    expect(tally.bad).toEqual([])
    expect(tally.outcomes).toBeGreaterThan(0)
  })

  test.each(BROKEN_SCRIPTS)('broken on purpose: $name', async (broken) => {
    const folder = join(dir, String(BROKEN_SCRIPTS.indexOf(broken)))
    breakScripts(SYSTEM, folder, broken)
    const { bad } = await lookAt(broken.phase, { system: folder, outcomes: 60, untilBad: true })
    expect(bad.length).toBeGreaterThan(0)
  })
})
