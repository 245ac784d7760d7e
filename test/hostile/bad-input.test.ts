import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { digestOf } from '../../src/core/digest.ts'
import { ERROR_CODES } from '../../src/core/error.ts'
import { makeHost, ON_DISK, openWorkshop, slotContent, type Workshop } from '../support/cli.ts'
import { BAD_BUNDLES, REFUSED_BUNDLES } from './bad-bundles.ts'
import { BAD_MACHINES } from './bad-machines.ts'
import { BAD_MANIFESTS } from './bad-manifests.ts'

const TABLE = {
  'damage and forgery': BAD_BUNDLES,
  'nonsense that is signed': BAD_MANIFESTS,
  'signed, and not for this host': REFUSED_BUNDLES,
  'keys, configuration, tables and disks': BAD_MACHINES,
}
const ROWS = Object.values(TABLE).flat()

let shop: Workshop
beforeEach(async () => {
  shop = openWorkshop()
  await makeHost(shop)
})
afterEach(() => shop.close())

describe.each(Object.entries(TABLE))('%s', (_, rows) => {
  test.each(rows)('$input: $code', async ({ code, make, late }) => {
    const line = await make(shop)
    const disk = () => readFileSync(shop.path('host.img'))
    const [before, booted] = [digestOf(disk()), digestOf(slotContent(shop, 'a'))]
    const ran = await shop.pine(`${line} --json`)
    expect([ran.json().error?.code, ran.exit]).toEqual([code, ERROR_CODES[code]])
    expect(ran.stderr).toContain(code)
    expect(ran.stderr).not.toMatch(/\n\s+at /)
    if (late !== true) return expect(digestOf(disk())).toBe(before)
    expect(digestOf(slotContent(shop, 'a'))).toBe(booted)
    expect((await shop.ok(`status --json ${ON_DISK}`)).json()).toMatchObject({ nextBoot: 'a', trial: null })
  })
})

test('the table in docs/security.md is this one', () => {
  expect(ROWS.length).toBeGreaterThanOrEqual(60)
  expect(new Set(ROWS.map(({ input }) => input)).size).toBe(ROWS.length)
  const page = readFileSync(join(import.meta.dirname, '../../docs/security.md'), 'utf8')
  const documented = [...page.matchAll(/^\| (.+) \| `([A-Z_]+)` \|$/gm)].map(
    ([, input, code]) => `${input}: ${code}`,
  )
  expect(documented.sort()).toEqual(ROWS.map(({ input, code }) => `${input}: ${code}`).sort())
})
