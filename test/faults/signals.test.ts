import { readFileSync, rmSync } from 'node:fs'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { makeBundle, makeHost, ON_DISK, openWorkshop, type Workshop } from '../support/cli.ts'
import { type Ended, startProgram } from './process.ts'
import { expectMended, expectTrue, keepDisk, STORIES, type Story } from './story.ts'

/** PINE_FAULTS=all takes every moment and not only some. */
const EVERY = process.env.PINE_FAULTS === 'all'
if (!EVERY) console.log('some moments of each command; for all of them set PINE_FAULTS=all')

const HOUR_MS = 3_600_000

let shop: Workshop
let fresh: ReturnType<typeof keepDisk>

beforeAll(async () => {
  shop = openWorkshop()
  await makeHost(shop)
  await makeBundle(shop, '2.0', { from: '1.0' })
  await makeBundle(shop, '2.0', { more: '--out @full.bundle' })
  fresh = keepDisk(shop, 'fresh.img')
})
beforeEach(() => fresh.restore())
afterAll(() => shop.close())

/** Runs a command line that gets a signal from itself at one moment: before an effect, or while it is under way. */
function runProbe(line: string, env: Record<string, string>): Promise<Ended> {
  return startProgram(shop, line, { program: 'fault-probe', env }).ended
}

/** How many moments there are, from a run that nothing stops. */
async function countMoments(line: string): Promise<number> {
  const file = shop.path('moments')
  rmSync(file, { force: true })
  expect(await runProbe(line, { PINE_FAULT_COUNT: file })).toMatchObject({ exit: 0 })
  return Number(readFileSync(file, 'utf8'))
}

type AtMoment = (what: string, ended: Ended) => Promise<void>

/** Raises the signal at every moment, or at one in `step`, each time on the same disk. */
async function atEachMoment(story: Story, [signal, step]: [string, number], then: AtMoment): Promise<void> {
  await story.prepare(shop)
  const disk = keepDisk(shop, 'kept.img')
  const line = `${story.command} ${ON_DISK}`
  const count = await countMoments(line)
  expect(count).toBeGreaterThan(20)
  for (let moment = 0; moment < count; moment += EVERY ? 1 : step) {
    disk.restore()
    const ended = await runProbe(line, { PINE_FAULT: `${signal} ${moment}` })
    expect(ended.stderr).not.toMatch(/\n\s+at |this is a bug/)
    await then(`moment ${moment}`, ended)
  }
}

const APPLY: Story = { command: 'apply @2.0.bundle', prepare: async () => undefined, boots: 'b' }
const FULL: Story = { ...APPLY, command: 'apply @full.bundle' }
const VERDICTS = STORIES.slice(1)

describe('killed at any moment', () => {
  test.each([APPLY, FULL, ...VERDICTS])(
    '$command: what boots is whole, status is right, and the next try works',
    async (story) => {
      await atEachMoment(story, ['SIGKILL', 7], async (what, ended) => {
        expect(ended, what).toMatchObject({ signal: 'SIGKILL' })
        await expectMended(shop, story, what)
      })
    },
    HOUR_MS,
  )
})

const STOPPED = 'pine-update: interrupted; what was written stays, and the next run takes it up\n'
const ENDED = 'pine-update: interrupted\n'

/** An apply says that it was stopped; where nobody listens to the signal, that itself ends it. */
function expectStopped({ exit, signal: by, stderr }: Ended, signal: string, what: string): void {
  expect([exit, by], what).toEqual(exit === null ? [null, signal] : [130, null])
  expect(stderr, what).toContain(exit === null ? ENDED : STOPPED)
}

describe.each(['SIGINT', 'SIGTERM', 'SIGHUP'])('%s', (signal) => {
  test(
    'stops an apply; after the flip it is too late',
    async () => {
      const exits: (number | null)[] = []
      await atEachMoment(APPLY, [signal, 13], async (what, ended) => {
        if (ended.exit !== 0) expectStopped(ended, signal, what)
        const next = await expectTrue(shop, what)
        if (ended.exit !== null) expect(next, what).toBe(ended.exit === 0 ? 'b' : 'a')
        await expectMended(shop, APPLY, what)
        exits.push(ended.exit)
      })
      expect(exits.filter((exit) => exit !== 0).length).toBeGreaterThan(3)
    },
    HOUR_MS,
  )

  test.each(VERDICTS)(
    'ends "$command" at once',
    async (story) => {
      await atEachMoment(story, [signal, 17], async (what, ended) => {
        // It may be done before it sees the signal.
        if (ended.exit === null) expect(ended, what).toMatchObject({ signal, stderr: ENDED })
        await expectMended(shop, story, what)
      })
    },
    HOUR_MS,
  )
})
