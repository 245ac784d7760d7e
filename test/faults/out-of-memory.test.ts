import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeBundle, makeHost, ON_DISK, openWorkshop, type Workshop } from '../support/cli.ts'
import { makeMemoryGroup } from './memory-group.ts'
import { type Ended, startProgram } from './process.ts'
import { expectIntact, expectNextTryWorks, keepDisk } from './story.ts'

const MiB = 1024 * 1024
const possible = makeMemoryGroup('pine-possible', 64 * MiB)
possible?.remove()
if (possible === undefined) console.log('skipped, no memory cgroup can be made here: out of memory')

let shop: Workshop

beforeAll(async () => {
  shop = openWorkshop()
  await makeHost(shop)
  await makeBundle(shop, '2.0')
})
afterAll(() => {
  shop.close()
})

type Limited = Ended & { kills: number }

/** Runs an apply that may use so much. */
async function applyWithin(bytes: number): Promise<Limited> {
  const group = makeMemoryGroup('pine-faults', bytes)
  if (group === undefined) throw new Error('there was a group before')
  try {
    const ended = await startProgram(shop, `apply @2.0.bundle ${ON_DISK}`, { group: group.path }).ended
    return { ...ended, kills: group.kills() }
  } finally {
    group.remove()
  }
}

/** How it ended; anything else is an error. */
function endOf({ exit, signal, stderr, kills }: Limited): string {
  if (exit === 0) return 'done'
  if (exit === 3 && stderr.includes('MEMORY_TOO_SMALL')) return 'refused'
  expect(signal, stderr).toBe('SIGKILL')
  // The kernel may begin with a tool that it has just started: those are in the group as well.
  expect(kills, stderr).toBeGreaterThanOrEqual(1)
  return stderr.includes('write image') ? 'killed while it wrote' : 'killed while it started'
}

describe.skipIf(possible === undefined)('an apply that runs out of memory', () => {
  test('is killed or refused, whatever the limit; the next try with enough works', async () => {
    const disk = keepDisk(shop, 'fresh.img')
    const ends: string[] = []
    for (let limit = 8 * MiB; ends.at(-1) !== 'done'; limit += 2 * MiB) {
      expect(limit, ends.join()).toBeLessThan(256 * MiB)
      disk.restore()
      const ended = await applyWithin(limit)
      ends.push(endOf(ended))
      if (ended.exit !== 0) await expectIntact(shop)
      await expectNextTryWorks(shop)
    }
    expect(ends).toContain('killed while it started')
    expect(
      ends.some((end) => end === 'killed while it wrote' || end === 'refused'),
      ends.join(),
    ).toBe(true)
  })
})
