import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { afterEach, expect, test } from 'vitest'
import { readExt4 } from '../../src/hijack/ext4.ts'
import { realHost } from '../../src/host/real-host.ts'
import { filesOf } from './box-files.ts'
import { MiB, type OldRoot, openOldRoot } from './old-root.ts'
import { scatter, withoutShrink } from './shrink-run.ts'

const withoutStrace = spawnSync('strace', ['--version']).error && 'strace is not installed'
const reason = withoutShrink() ?? withoutStrace
if (reason !== undefined) console.log(`skipped, ${reason}: a shrink that is cut off`)

let old: OldRoot | undefined
afterEach(() => old?.close())

const CUT_MIB = 160

/** Runs resize2fs until it has made that many writes; with 0 to its end. Returns how many it made. */
function resize(device: string, target: number, writes: number): number {
  const inject = writes === 0 ? [] : ['-e', `inject=pwrite64:signal=KILL:when=${writes}`]
  const traced = ['-f', '-e', 'trace=pwrite64', ...inject, 'resize2fs', '-f', device, String(target)]
  const { stderr, signal } = spawnSync('strace', traced, { encoding: 'utf8', maxBuffer: 2 ** 28 })
  expect(signal).toBe(writes === 0 ? null : 'SIGKILL')
  return stderr.match(/pwrite64\(/g)?.length ?? 0
}

/** As a start with `fsck.repair=yes`. Returns what the start without it would have ended with. */
function repair(device: string): number | null {
  const preen = spawnSync('e2fsck', ['-p', device]).status
  expect(spawnSync('e2fsck', ['-f', '-y', device]).status).toBeLessThan(2)
  return preen
}

test.skipIf(reason !== undefined)(
  'killed at any write: after the next start every file is there',
  async () => {
    old = openOldRoot('ext4', { bytes: 896 * MiB })
    mkdirSync(`${old.folder}/empty`)
    scatter(old)
    const { device, disk } = old
    const before = filesOf(old.folder)
    old.unmount()
    execFileSync('e2fsck', ['-f', '-p', device])
    execFileSync('cp', ['--sparse=always', disk, `${disk}.kept`])
    const { blocks, blockBytes } = await readExt4(realHost(), device)
    const target = blocks - (CUT_MIB * MiB) / blockBytes
    const count = resize(device, target, 0)
    expect(count).toBeGreaterThan(20)
    const preened: (number | null)[] = []
    for (const share of [0.05, 0.2, 0.45, 0.7, 0.85, 1]) {
      execFileSync('dd', [`if=${disk}.kept`, `of=${disk}`, 'bs=1M', 'conv=notrunc', 'status=none'])
      resize(device, target, Math.round(share * count))
      preened.push(repair(device))
      old.mount()
      expect(filesOf(old.folder), `killed after ${share} of ${count} writes`).toEqual(before)
      old.unmount()
    }
    // While blocks are copied nothing that counts is written.
    expect(preened[0]).toBeLessThan(2)
    console.log(`${count} writes; e2fsck -p ends with ${preened.join(', ')}`)
  },
)
