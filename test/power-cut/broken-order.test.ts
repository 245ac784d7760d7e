import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openWorkshop, type Workshop } from '../support/cli.ts'
import { BROKEN_ORDERS } from './broken.ts'
import { type Budget, type Exploration, explore } from './explore.ts'
import { type Fixture, fillFixture, loadFixture } from './fixture.ts'
import { PHASES } from './phases.ts'
import type { Tally } from './tally.ts'
import { unflushedWriter } from './twists.ts'

// A little of `npm run power-cut`: what is broken on purpose is found, and nothing else is.

let shop: Workshop
let fixture: Fixture
beforeAll(async () => {
  shop = openWorkshop()
  await fillFixture(shop)
  fixture = loadFixture(shop.dir)
})
afterAll(() => shop.close())

const LOOK: Budget = { outcomes: 10, follow: 0, followEnds: 0, cutAgain: 0, half: true }

function lookAt(options: Pick<Exploration, 'phase' | 'twist'>, budget = LOOK): Promise<Tally> {
  return explore({ fixture, seed: 1, budget, ...options })
}

describe('the product in its own order', () => {
  test.each(PHASES)('$name: old or new, whatever reaches the disk', async (phase) => {
    const tally = await lookAt({ phase })
    expect(tally.bad).toEqual([])
    expect(tally.outcomes).toBeGreaterThan(tally.cuts)
  })

  test('an apply that was cut anywhere ends as without a cut, also when it is cut again', async () => {
    const phase = PHASES.find(({ name }) => name === 'apply and restart')
    if (phase === undefined) throw new Error('there is no such phase')
    const tally = await lookAt({ phase }, { ...LOOK, outcomes: 2, followEnds: 0.3, cutAgain: 0.1 })
    expect(tally.bad).toEqual([])
    expect(tally.followed.size).toBeGreaterThan(5)
  })

  test('the flush of the plan is enough where the writer leaves its own out', async () => {
    const phase = PHASES.find(({ name }) => name === 'apply, a full bundle')
    if (phase === undefined) throw new Error('there is no such phase')
    expect((await lookAt({ phase, twist: unflushedWriter })).bad).toEqual([])
  })
})

describe('broken on purpose', () => {
  test.each(BROKEN_ORDERS)('$name: found', async ({ phase, twist, finds }) => {
    const { bad } = await lookAt({ phase, twist })
    const problems = bad.flatMap((found) => found.problems)
    expect(problems).toContainEqual(expect.stringContaining(finds))
  })
})
