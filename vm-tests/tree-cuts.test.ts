import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFailed, test } from 'vitest'
import { realHost } from '../src/host/real-host.ts'
import type { Layout } from '../src/model/layout.ts'
import { openDiskImage } from '../src/run/disk.ts'
import { requireLayout } from '../src/run/machine.ts'
import { withoutDevices } from '../test/faults/devices.ts'
import { TREE_BROKEN_ORDERS } from './lib/tree-broken-orders.ts'
import { treeCutKit } from './lib/tree-cut-kit.ts'
import { armedAt, slotsWritten } from './lib/tree-cut-moments.ts'
import { describeTreeCuts } from './lib/tree-cut-report.ts'
import { cutTreeUpdate } from './lib/tree-cuts.ts'
import { recordTreeUpdate, type TreeRecording } from './lib/tree-recording.ts'

const reason = withoutDevices()
if (reason !== undefined) console.log(`skipped: cuts of trees: ${reason}`)

const CAN_START_TORN = /slot a (is not \S+ and has 3 tries|can start, and nobody knows)/

let dir: string
let recording: TreeRecording
let layout: Layout
let failed = false

beforeAll(async () => {
  if (reason !== undefined) return
  dir = mkdtempSync(join(tmpdir(), 'pine-tree-cuts-'))
  recording = await recordTreeUpdate(treeCutKit(), dir)
  layout = requireLayout(await openDiskImage(realHost(), recording.before))
})
afterAll(() => {
  if (failed) console.log(`disks and serial logs are kept in ${dir}`)
  else if (dir !== undefined) rmSync(dir, { recursive: true })
})

function keepOnFailure(): void {
  onTestFailed(() => {
    failed = true
  })
}

describe.skipIf(reason !== undefined)('a tree is applied, and the power goes', () => {
  // More of them: npm run tree-cuts
  test('what is left is the old tree or the new one, whole, and the update comes to its end', async () => {
    keepOnFailure()
    const report = await cutTreeUpdate({ recording, dir, cuts: 240, seed: 12, follow: 2 })
    console.log(describeTreeCuts(report))
    expect(report).toMatchObject({ problems: [], cuts: 240, followed: 2 })
    expect(Math.min(report.starts.a, report.starts.b, report.loss.lost, report.loss.torn)).toBeGreaterThan(0)
  })

  test('nothing is ever written to the slot that runs', () => {
    const armed = armedAt(recording.log, layout)
    const written = (from: number, to?: number) =>
      slotsWritten(
        recording.log.slice(from, to).filter((entry) => entry.kind === 'write'),
        layout,
      )
    expect(written(0, armed)).toEqual(['a'])
    expect(written(armed)).toEqual([])
  })

  test.each(TREE_BROKEN_ORDERS)('found out: $name', async ({ reorder }) => {
    keepOnFailure()
    const report = await cutTreeUpdate({ recording, dir, cuts: 90, seed: 3, reorder, until: CAN_START_TORN })
    const found = report.problems.at(-1)
    console.log(`found by cut ${report.cuts}: ${found}`)
    expect(found).toMatch(CAN_START_TORN)
  })
})
