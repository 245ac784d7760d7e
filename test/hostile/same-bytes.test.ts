import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { digestOf } from '../../src/core/digest.ts'
import { realHost } from '../../src/host/real-host.ts'
import { makeBundle, makeHost, ON_DISK, openWorkshop, slotContent, type Workshop } from '../support/cli.ts'

// CVE-2020-25860: a bundle was verified, then opened again, and somebody had changed it in between.

let shop: Workshop
/** Called once the start of the bundle was read. */
let meanwhile: () => void

beforeEach(async () => {
  meanwhile = () => undefined
  const host = realHost()
  shop = openWorkshop({
    ...host,
    async *readSource(path) {
      let pieces = 0
      for await (const piece of host.readSource(path)) {
        yield piece
        if (pieces++ === 0) meanwhile()
      }
    },
  })
  await makeHost(shop)
  await makeBundle(shop, '2.0')
  await makeBundle(shop, '3.0')
})
afterEach(() => shop.close())

test('a bundle that is replaced while it is applied is applied as it was verified', async () => {
  meanwhile = () => renameSync(shop.path('3.0.bundle'), shop.path('2.0.bundle'))
  await shop.ok(`apply @2.0.bundle ${ON_DISK}`)
  const image = readFileSync(shop.path('2.0.img'))
  expect(digestOf(slotContent(shop, 'b').subarray(0, image.length))).toBe(digestOf(image))
})

test('a bundle that is overwritten in place while it is applied is found out', async () => {
  const [before, other] = [readFileSync(shop.path('2.0.bundle')), readFileSync(shop.path('3.0.bundle'))]
  meanwhile = () => writeFileSync(shop.path('2.0.bundle'), other)
  const ran = await shop.pine(`apply @2.0.bundle --json ${ON_DISK}`)
  expect(ran.json().error.code).toMatch(/^BUNDLE_(CORRUPT|TRUNCATED)$/)
  expect((await shop.ok(`status --json ${ON_DISK}`)).json()).toMatchObject({ nextBoot: 'a', trial: null })
  writeFileSync(shop.path('2.0.bundle'), before)
  meanwhile = () => undefined
  await shop.ok(`apply @2.0.bundle ${ON_DISK}`)
})
