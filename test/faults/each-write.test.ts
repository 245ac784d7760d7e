import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { makeBundle, makeHost, ON_DISK, openWorkshop, type Ran, type Workshop } from '../support/cli.ts'
import { breakFiles, errnoError, type Fault } from './broken-files.ts'
import { expectClear, expectMended, expectTrue, keepDisk, STORIES, type Story } from './story.ts'

let shop: Workshop
let fresh: ReturnType<typeof keepDisk>
let repair = (): void => undefined

beforeAll(async () => {
  shop = openWorkshop()
  await makeHost(shop)
  await makeBundle(shop, '2.0', { from: '1.0' })
  fresh = keepDisk(shop, 'fresh.img')
})
beforeEach(() => fresh.restore())
afterEach(() => repair())
afterAll(() => shop.close())

/** Fails the write or flush of host.img with that number, and all after it while `lasts`. Counts them. */
function failAt(number: number, lasts: boolean): Fault & { count: () => number } {
  let count = 0
  const fault: Fault = ({ kind, path }) => {
    if (kind === 'read' || path !== shop.path('host.img')) return undefined
    const index = count++
    if (index === number || (lasts && index > number)) throw errnoError('EIO', kind)
    return undefined
  }
  return Object.assign(fault, { count: () => count })
}

async function runBroken(line: string, fault: Fault): Promise<Ran> {
  repair = await breakFiles(fault)
  try {
    return await shop.pine(line)
  } finally {
    repair()
  }
}

/** One try that fails at some write, and another one. */
async function expectNoHarm(story: Story, fault: Fault, what: string): Promise<void> {
  const ran = await runBroken(`${story.command} ${ON_DISK}`, fault)
  // Only the log could not be written.
  if (ran.exit === 0) return expect(await expectTrue(shop, what), what).toBe(story.boots)
  expectClear(ran, 'IO_FAILED')
  await expectMended(shop, story, what)
}

test.each(STORIES)('whichever write or flush of "$command" fails', async (story) => {
  await story.prepare(shop)
  const disk = keepDisk(shop, 'kept.img')
  const none = failAt(-1, false)
  expect((await runBroken(`${story.command} ${ON_DISK}`, none)).exit).toBe(0)
  expect(none.count()).toBeGreaterThan(10)
  const [alone, lasting] = [numbersUpTo(none.count(), 1), numbersUpTo(none.count(), 5)]
  const faults = [
    ...alone.map((number) => ({ what: `write ${number}`, fault: failAt(number, false) })),
    ...lasting.map((number) => ({ what: `all from write ${number} on`, fault: failAt(number, true) })),
  ]
  for (const { what, fault } of faults) {
    disk.restore()
    await expectNoHarm(story, fault, what)
  }
})

function numbersUpTo(end: number, step: number): number[] {
  return Array.from({ length: Math.ceil(end / step) }, (_, index) => index * step)
}
