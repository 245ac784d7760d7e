import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, expect, type TestContext, test } from 'vitest'
import { type LossyDisk, openLossyDisk } from './lib/lossy-disk.ts'
import { type PowerKit, powerKit } from './lib/power-kit.ts'
import { describeReport } from './lib/power-report.ts'
import { type RunOptions, runStories } from './lib/power-run.ts'

let kit: PowerKit

beforeAll(() => {
  kit = powerKit()
})

type Choices = Pick<RunOptions, 'name' | 'bus' | 'kills' | 'seed' | 'openDisk'>

function run({ onTestFinished }: TestContext, options: Choices) {
  const dir = mkdtempSync(join(tmpdir(), 'pine-power-'))
  // What fails stays, with its disk and the log of its serial port.
  onTestFinished(({ task }) => {
    if (task.result?.state !== 'fail') rmSync(dir, { recursive: true })
  })
  return runStories({ ...options, kit, dir })
}

/** It says that it is done, and keeps nothing. */
function openLyingDisk(path: string): LossyDisk {
  return { ...openLossyDisk(path), flush: () => undefined }
}

// More of them, and on virtio as well: npm run soak
test.concurrent('after cuts at any time a disk comes back, and its updates come to their end', async (context) => {
  const report = await run(context, { name: 'cuts', bus: 'scsi', kills: 6, seed: 12 })
  console.log(describeReport(report))
  expect(report).toMatchObject({ kills: 6, rejections: report.stories })
})

test.concurrent('a disk that lies about its flushes is found out', async (context) => {
  const lying = { name: 'lying', bus: 'virtio', kills: 10, seed: 3, openDisk: openLyingDisk } as const
  await expect(run(context, lying)).rejects.toThrow('serial log')
})
