import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { digestOf } from '../../src/core/digest.ts'
import { readTable } from '../../src/host/sfdisk.ts'
import { withMachine } from '../../src/run/machine.ts'
import { makeBundle, makeHost, ON_DISK, openWorkshop, slotContent, type Workshop } from '../support/cli.ts'

let shop: Workshop

beforeEach(async () => {
  shop = openWorkshop()
  await makeHost(shop)
})
afterEach(() => shop.close())

async function status(): Promise<any> {
  return (await shop.ok(`status --json ${ON_DISK}`)).json()
}

function healthCheck(script: string): void {
  mkdirSync(shop.path('health.d'), { recursive: true })
  writeFileSync(shop.path('health.d/10-web'), `#!/bin/sh\n${script}\n`)
  chmodSync(shop.path('health.d/10-web'), 0o755)
}

test('a delta is applied, tried and confirmed; the slot holds the image bit by bit', async () => {
  await makeBundle(shop, '2.0', { from: '1.0' })
  const applied = await shop.ok(`apply @2.0.bundle --json ${ON_DISK}`)
  expect(applied.json()).toMatchObject({ changed: true, version: '2.0' })
  expect(await status()).toMatchObject({ nextBoot: 'b', trial: { slot: 'b', triesLeft: 3 } })
  const image = readFileSync(shop.path('2.0.img'))
  expect(slotContent(shop, 'b').subarray(0, image.length).equals(image)).toBe(true)

  expect(await shop.boot()).toBe('b')
  healthCheck('exit 0')
  await shop.ok(`health --boot ${ON_DISK}`)
  const after = await status()
  expect(after).toMatchObject({ nextBoot: 'b', trial: null })
  expect(after.slots[1]).toMatchObject({ booted: true, condition: 'confirmed', triesLeft: 3 })
})

test('an unhealthy release is rejected, remembered with its reason, and not applied again unless forced', async () => {
  await makeBundle(shop, '2.0')
  await shop.ok(`apply @2.0.bundle ${ON_DISK}`)
  await shop.boot()
  healthCheck('echo no answer; exit 1')
  expect((await shop.pine(`health --boot ${ON_DISK}`)).exit).toBe(4)
  expect(await shop.boot()).toBe('a')
  const [rejected] = (await status()).rejected
  expect(rejected).toMatchObject({ version: '2.0', reason: expect.stringContaining('no answer') })

  const again = await shop.pine(`apply @2.0.bundle ${ON_DISK}`)
  expect([again.exit, again.stderr]).toEqual([3, expect.stringContaining('REJECTED_BEFORE')])
  await shop.ok(`apply @2.0.bundle --force-rejected ${ON_DISK}`)
  expect(await shop.boot()).toBe('b')
})

test('a release that never comes up spends its tries; the old one notices, says so, and stays', async () => {
  await makeBundle(shop, '2.0')
  await shop.ok(`apply @2.0.bundle --tries 2 ${ON_DISK}`)
  expect([await shop.boot(), await shop.boot(), await shop.boot()]).toEqual(['b', 'b', 'a'])
  healthCheck('exit 0')
  await shop.ok(`health --boot ${ON_DISK}`)
  const after = await status()
  expect(after.rejected).toMatchObject([
    { version: '2.0', reason: expect.stringContaining('tries were spent') },
  ])
  expect(after).toMatchObject({ nextBoot: 'a', trial: null })
  expect(after.slots[0]).toMatchObject({ booted: true, condition: 'confirmed', triesLeft: 3 })
})

test('rollback goes back on trial, and a second one forth again', async () => {
  await makeBundle(shop, '2.0')
  await shop.ok(`apply @2.0.bundle ${ON_DISK}`)
  await shop.boot()
  await shop.ok(`confirm ${ON_DISK}`)
  await shop.ok(`rollback ${ON_DISK}`)
  expect(await status()).toMatchObject({ nextBoot: 'a', trial: { slot: 'a', version: '1.0' } })
  expect(await shop.boot()).toBe('a')
  await shop.ok(`confirm ${ON_DISK}`)
  await shop.ok(`rollback ${ON_DISK}`)
  expect(await shop.boot()).toBe('b')
})

test('there is nothing to roll back to on a fresh disk', async () => {
  const ran = await shop.pine(`rollback --json ${ON_DISK}`)
  expect([ran.exit, ran.json().error.code]).toEqual([3, 'NOTHING_TO_ROLL_BACK_TO'])
})

test('while a release is on trial no other is let over its only way back', async () => {
  await makeBundle(shop, '2.0')
  await makeBundle(shop, '3.0')
  await shop.ok(`apply @2.0.bundle ${ON_DISK}`)
  await shop.boot()
  const ran = await shop.pine(`apply @3.0.bundle ${ON_DISK}`)
  expect([ran.exit, ran.stderr]).toEqual([3, expect.stringContaining('TRIAL_PENDING')])
})

test('applying what runs, or what is armed, changes nothing and says so', async () => {
  await makeBundle(shop, '1.0')
  expect((await shop.ok(`apply @1.0.bundle --json ${ON_DISK}`)).json()).toMatchObject({ changed: false })
  await makeBundle(shop, '2.0')
  await shop.ok(`apply @2.0.bundle ${ON_DISK}`)
  expect((await shop.ok(`apply @2.0.bundle --json ${ON_DISK}`)).json()).toMatchObject({ changed: false })
})

test('a bundle from standard input is the same as one from a file', async () => {
  await makeBundle(shop, '2.0', { from: '1.0' })
  await shop.ok(`apply - ${ON_DISK}`, readFileSync(shop.path('2.0.bundle')))
  expect((await status()).slots[1].image).toMatchObject({ version: '2.0' })
})

test('--dry-run of every command that changes something leaves the disk as it is', async () => {
  await makeBundle(shop, '2.0')
  await shop.ok(`apply @2.0.bundle ${ON_DISK}`)
  await shop.boot()
  await makeBundle(shop, '3.0')
  const before = digestOf(readFileSync(shop.path('host.img')))
  for (const command of ['confirm', 'reject', 'rollback']) {
    expect((await shop.ok(`${command} --dry-run --json ${ON_DISK}`)).json().plan.steps).not.toEqual([])
  }
  expect(digestOf(readFileSync(shop.path('host.img')))).toBe(before)
  await shop.ok(`confirm ${ON_DISK}`)
  const confirmed = digestOf(readFileSync(shop.path('host.img')))
  const dry = await shop.ok(`apply @3.0.bundle --dry-run ${ON_DISK}`)
  expect(dry.stdout).toContain('the one write that changes what boots')
  expect(digestOf(readFileSync(shop.path('host.img')))).toBe(confirmed)
})

test('bundles and images are the same bytes when they are made again', async () => {
  process.env.SOURCE_DATE_EPOCH = '1700000000'
  try {
    await makeBundle(shop, '2.0', { from: '1.0' })
    const first = readFileSync(shop.path('2.0.bundle'))
    await makeBundle(shop, '2.0', { from: '1.0' })
    expect(readFileSync(shop.path('2.0.bundle')).equals(first)).toBe(true)
  } finally {
    delete process.env.SOURCE_DATE_EPOCH
  }
})

test('two at once: the second is told, and changes nothing', async () => {
  await makeBundle(shop, '2.0')
  const both = await Promise.all([1, 2].map(() => shop.pine(`apply @2.0.bundle ${ON_DISK}`)))
  expect(both.map(({ exit }) => exit).sort()).toEqual([0, 3])
  expect(both.map(({ stderr }) => stderr).join()).toContain('BUSY')
})

test('the verdict after a boot waits for a command that is at work', async () => {
  healthCheck('exit 0')
  const options = { disk: shop.path('host.img'), writable: true }
  const work = withMachine(shop.host, options, () => shop.host.sleep(500))
  const [, verdict] = await Promise.all([work, shop.pine(`health --boot ${ON_DISK}`)])
  expect(verdict).toMatchObject({ exit: 0, stdout: expect.stringContaining('permanent') })
})

test('disk build prints the partitions as they are on the disk', async () => {
  const fixed = '--size 32M --compatible test --release 1.0 --json'
  const built = await shop.ok(`disk build --layout @layout.sfdisk --image @1.0.img --out @new.img ${fixed}`)
  const { partitions } = built.json().layout
  const table = JSON.parse(await readTable(shop.host, shop.path('new.img'))).partitiontable.partitions
  expect(table.map(({ uuid }: { uuid: string }) => uuid.toLowerCase())).toEqual(
    table.map(({ name }: { name: string }) => partitions[name].uuid),
  )
})

test('the event log tells what happened, in order', async () => {
  await makeBundle(shop, '2.0')
  await shop.ok(`apply @2.0.bundle ${ON_DISK}`)
  const events = (await shop.ok(`log --json ${ON_DISK}`)).json()
  const kinds = events.map(({ event }: { event: string }) => event)
  expect([kinds[0], kinds.at(-1)]).toEqual(['start', 'done'])
  expect(kinds).toContain('step')
})
