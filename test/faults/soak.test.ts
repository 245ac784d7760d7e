import { afterAll, expect, test } from 'vitest'
import { openWorkshop } from '../support/cli.ts'
import { type Holdings, prepareSoak, soak } from './soak.ts'

const shop = openWorkshop()
afterAll(() => shop.close())

test('25 applies in a row leave nothing open, nothing beside the disk, and records within their bound', async () => {
  await prepareSoak(shop)
  const seen: Holdings[] = []
  await soak({ shop, every: 25, onHoldings: (holdings) => seen.push(holdings) }, 25)
  const [before, first, last] = seen
  expect(last).toMatchObject({
    applies: 25,
    leftFiles: before?.leftFiles,
    diskBytes: before?.diskBytes,
    elsewhere: before?.elsewhere,
    files: first?.files,
    listeners: first?.listeners,
  })
  expect(last?.rejected).toBeGreaterThan(4)
  expect(last?.recordsBytes).toBeLessThan(64 * 1024)
  expect(last?.logLines).toBe(256)
})
