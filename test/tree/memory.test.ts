import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { makeMemoryGroup } from '../faults/memory-group.ts'
import { startProgram } from '../faults/process.ts'
import { ostree } from '../ostree/support.ts'
import { noise, openWorkshop, type Workshop } from '../support/cli.ts'
import { isExactly, makeFolderHost, makeTreeBundle, ON_FOLDER, ready } from './support.ts'

const MB = 1000 * 1000
const TREE_BYTES = 16 * MB
/** Beside libostree, which has a process of its own. Anonymous memory: what is mapped from files can be dropped at any time. */
const MOST_ANONYMOUS = 60 * MB

/** Of a process, now: `RssAnon` and `VmRSS` of proc_pid_status(5). */
function memoryOf(pid: number): { anonymous: number; resident: number } {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8')
  const bytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1]) * 1024
  return { anonymous: bytes('RssAnon'), resident: bytes('VmRSS') }
}

function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
  return text.split(' ').filter(Boolean).map(Number)
}

/** A release with one large file more, and its bundle. */
async function makeLarge(shop: Workshop): Promise<void> {
  await makeFolderHost(shop)
  writeFileSync(join(shop.path('tree-2.0'), 'large'), noise(TREE_BYTES, 9))
  const branch = ['--branch=web/2.0', `--tree=dir=${shop.path('tree-2.0')}`]
  ostree('commit', `--repo=${shop.path('repo')}`, ...branch)
  await makeTreeBundle(shop, '2.0', { from: '1.0' })
}

test.skipIf(!ready)(
  'it fits a machine of 68 MB with libostree, and one of 48 MB is told before anything is written',
  async () => {
    const shop = openWorkshop()
    try {
      await makeLarge(shop)
      for (const [limit, code] of [
        [48, 'MEMORY_TOO_SMALL'],
        [68, undefined],
      ] as const) {
        const group = makeMemoryGroup('pine-tree-memory', limit * MB)
        if (group === undefined)
          return console.log('skipped: a limit of memory needs cgroups that can be written')
        const ran = startProgram(shop, `apply @2.0.bundle ${ON_FOLDER}`, { group: group.path })
        const { exit, stderr } = await ran.ended
        expect([exit, group.kills()], stderr).toEqual([code === undefined ? 0 : 3, 0])
        if (code !== undefined) expect(stderr).toContain(code)
        expect(isExactly(shop, 'b', '2.0')).toBe(code === undefined)
        group.remove()
      }
    } finally {
      shop.close()
    }
  },
)

test.skipIf(!ready)('an apply of a large tree takes little memory in the process of the agent', async () => {
  const shop = openWorkshop()
  try {
    await makeLarge(shop)
    const { child, ended } = startProgram(shop, `apply @2.0.bundle ${ON_FOLDER}`)
    const peak = { anonymous: 0, resident: 0, libostree: 0 }
    let samples = 0
    while (child.exitCode === null && child.signalCode === null) {
      try {
        const now = memoryOf(child.pid ?? 0)
        if (now.anonymous > 0) samples += 1
        peak.anonymous = Math.max(peak.anonymous, now.anonymous || 0)
        peak.resident = Math.max(peak.resident, now.resident || 0)
        for (const below of childrenOf(child.pid ?? 0))
          peak.libostree = Math.max(peak.libostree, memoryOf(below).anonymous || 0)
      } catch {
        // It has just ended.
      }
      await sleep(5)
    }
    expect((await ended).exit).toBe(0)
    expect(isExactly(shop, 'b', '2.0')).toBe(true)
    const inMB = (bytes: number): string => `${(bytes / MB).toFixed(1)} MB`
    console.log(
      `apply of a tree of 18 MB, by ${samples} samples: at most ${inMB(peak.anonymous)} RssAnon, ${inMB(peak.resident)} RSS; libostree ${inMB(peak.libostree)} RssAnon`,
    )
    expect(samples).toBeGreaterThan(20)
    expect(peak.anonymous).toBeLessThan(MOST_ANONYMOUS)
  } finally {
    shop.close()
  }
})
