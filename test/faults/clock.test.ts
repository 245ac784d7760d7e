import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { checkHealth } from '../../src/agent/health.ts'
import { createProgress } from '../../src/cli/progress.ts'
import { realHost } from '../../src/host/real-host.ts'
import { parseSettings } from '../../src/model/settings.ts'
import { makeBundle, makeHost, ON_DISK, openWorkshop, type Workshop } from '../support/cli.ts'
import { keepDisk, statusOf } from './story.ts'

const TIMES = ['1970-01-01T00:00:00Z', '1970-01-01T00:00:01Z', '2100-02-28T23:59:59Z', '2106-02-07T06:28:16Z']

let shop: Workshop
let fresh: ReturnType<typeof keepDisk>

beforeAll(async () => {
  shop = openWorkshop()
  await makeHost(shop)
  await makeBundle(shop, '2.0', { from: '1.0' })
  await makeBundle(shop, '3.0')
  fresh = keepDisk(shop, 'fresh.img')
})
beforeEach(() => {
  fresh.restore()
  Object.assign(shop.host, realHost())
})
afterAll(() => shop.close())

/** Each look at the clock shows the next of these times, over and over. */
function showTimes(times: readonly string[]): void {
  let looks = 0
  shop.host.now = () => new Date(times[looks++ % times.length] ?? 0)
}

describe.each([...TIMES.map((time) => [time]), TIMES])('with a clock in %s', (...times) => {
  test('releases are applied, confirmed, rejected and rolled back, and every record can be read', async () => {
    showTimes(times)
    await shop.ok(`apply @2.0.bundle ${ON_DISK}`)
    expect(await shop.boot()).toBe('b')
    await shop.ok(`confirm ${ON_DISK}`)
    await shop.ok(`apply @3.0.bundle ${ON_DISK}`)
    expect(await shop.boot()).toBe('a')
    await shop.ok(`reject ${ON_DISK}`)
    expect(await shop.boot()).toBe('b')
    await shop.ok(`confirm ${ON_DISK}`)
    const status = await statusOf(shop)
    expect(status).toMatchObject({ nextBoot: 'b', trial: null, problems: [] })
    const [{ at }] = status.rejected
    expect(times.map((time) => new Date(time).toISOString())).toContain(at)
    for (const command of ['status', 'log']) {
      const said = await shop.ok(`${command} ${ON_DISK}`)
      expect(said.stdout).not.toMatch(/NaN|Invalid|undefined/)
    }
  })

  test('a bundle that is made now is taken by a host whose clock is right', async () => {
    showTimes(times)
    await makeBundle(shop, '2.0', { from: '1.0', more: '--out @now.bundle' })
    await shop.ok(`bundle inspect @now.bundle --json`)
    Object.assign(shop.host, realHost())
    await shop.ok(`apply @now.bundle ${ON_DISK}`)
  })
})

describe('a clock that jumps while a release has to prove itself', () => {
  const JUMPS = [
    ['to 1970', '1970-01-01T00:00:00Z'],
    ['to 2100', '2100-01-01T00:00:00Z'],
  ] as const

  /** A machine on which a check is good from the given try on; waiting takes no time, and moves the clock. */
  async function prove(goodFrom: number, jump: string): Promise<{ healthy: boolean; waitedMs: number }> {
    const tries = shop.path('tries')
    writeFileSync(tries, '')
    mkdirSync(shop.path('health.d'), { recursive: true })
    const script = `echo >> ${tries}; test $(wc -l < ${tries}) -ge ${goodFrom}`
    writeFileSync(shop.path('health.d/10-web'), `#!/bin/sh\n${script}\n`)
    chmodSync(shop.path('health.d/10-web'), 0o755)
    let [waitedMs, isLate] = [0, false]
    Object.assign(shop.host, {
      now: () => new Date(isLate ? jump : '2026-01-01T00:00:00Z'),
      monotonicMs: () => waitedMs,
      sleep: async (ms: number) => {
        waitedMs += ms
        isLate = true
      },
    })
    const settings = {
      ...parseSettings([]).health,
      systemd: false,
      settle: 20,
      directories: [shop.path('health.d')],
    }
    const { healthy } = await checkHealth(shop.host, settings, { live: false, network: false })
    return { healthy, waitedMs }
  }

  test.each(JUMPS)('%s: the time to settle stays what it was', async (_where, jump) => {
    expect(await prove(4, jump)).toEqual({ healthy: true, waitedMs: 6000 })
    expect(await prove(1000, jump)).toEqual({ healthy: false, waitedMs: 20_000 })
  })

  test.each(JUMPS)('%s: progress is still shown', (_where, jump) => {
    let [elapsed, shown, isLate] = [0, '', false]
    const host = {
      ...realHost(),
      now: () => new Date(isLate ? jump : Date.now()),
      monotonicMs: () => elapsed,
    }
    const stderr = (text: string) => {
      shown += text
    }
    for (const interactive of [true, false]) {
      const io = { host, stdout: stderr, stderr, interactive, stdin: process.stdin }
      const progress = createProgress(io)
      for (const done of [0, 25, 50, 100]) {
        progress.update('write', done, 100)
        elapsed += 6000
        isLate = true
      }
      progress.end()
    }
    expect(shown.match(/\d+ %/g)).toEqual(['0 %', '25 %', '50 %', '100 %', '25 %', '50 %', '100 %'])
    expect(shown).not.toContain('NaN')
  })
})
