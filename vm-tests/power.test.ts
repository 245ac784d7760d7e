import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, expect, onTestFinished, test } from 'vitest'
import { type LossyDisk, openLossyDisk } from './lib/lossy-disk.ts'
import { type PowerKit, powerKit } from './lib/power-kit.ts'
import { describeReport } from './lib/power-report.ts'
import { type RunOptions, runStories } from './lib/power-run.ts'

let kit: PowerKit

beforeAll(() => {
  kit = powerKit()
})

function run(options: Pick<RunOptions, 'name' | 'bus' | 'kills' | 'seed' | 'openDisk'>) {
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

// More of them: npm run soak
test.concurrent.each([
  { bus: 'virtio', seed: 11 },
  { bus: 'scsi', seed: 12 },
] as const)(
  'after cuts at any time a disk on $bus comes back and its updates come to their end',
  async (machine) => {
    const report = await run({ ...machine, name: machine.bus, kills: 7 })
    console.log(describeReport(report))
    expect(report).toMatchObject({ kills: 7, rejections: report.stories })
    expect(report.loss.lost).toBeGreaterThan(0)
  },
)

test('a disk that lies about its flushes is found out', async () => {
  await expect(
    run({ name: 'lying', bus: 'virtio', kills: 10, seed: 3, openDisk: openLyingDisk }),
  ).rejects.toThrow('serial log')
})
