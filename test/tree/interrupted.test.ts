import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openDevices, withoutDevices } from '../faults/devices.ts'
import { startProgram } from '../faults/process.ts'
import { openWorkshop, type Workshop } from '../support/cli.ts'
import {
  boot,
  isExactly,
  makeFolderHost,
  makeTreeBundle,
  ON_FOLDER,
  ready,
  relabel,
  snapshot,
} from './support.ts'

let shop: Workshop

beforeEach(async () => {
  if (!ready) return
  shop = openWorkshop()
  await makeFolderHost(shop)
})
afterEach(() => shop?.close())

const slot = (name: 'a' | 'b'): string => shop.path(`host/slots/${name}`)

/** Processes that have a file of the machine open or stand in it, by the name of what they run. */
function atWork(): string[] {
  const script = `for p in /proc/[0-9]*; do grep -qs ostree-child $p/cmdline && ls -l $p/fd 2>/dev/null | grep -q "${shop.dir}" && echo $p; done; true`
  return execFileSync('sh', ['-c', script], { encoding: 'utf8' }).split('\n').filter(Boolean)
}

describe.skipIf(!ready)('killed in the middle', () => {
  const at = (path: string) => () => existsSync(join(slot('b'), path))
  const isStaging = (): boolean =>
    at('.pine/repo/tmp')() &&
    readdirSync(join(slot('b'), '.pine/repo/tmp')).some((name) => /^staging/.test(name))

  const hasReader = (pid: number): boolean => readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8') !== ''

  // By what can be seen, not by the clock: how long each takes differs from machine to machine.
  test.each([
    ['while it takes the delta', 'make the tree', at('.pine/delta')],
    ['while it makes the repository', 'make the tree', at('.pine/repo/objects')],
    ['while it applies the delta', 'make the tree', isStaging],
    ['while it makes the tree', 'make the tree', at('usr')],
    ['while it flushes', 'flush slot b', () => true],
    ['while it reads the slot back', 'read slot b back', hasReader],
  ])('%s: the slot is not armed, and the next apply begins again', async (_, text, isSeen) => {
    await makeTreeBundle(shop, '2.0', { from: '1.0' })
    const running = snapshot(slot('a'))
    const started = startProgram(shop, `apply @2.0.bundle ${ON_FOLDER}`)
    await started.saying(text)
    while (!isSeen(started.child.pid ?? 0)) {
      if (started.child.exitCode !== null) throw new Error(`it ended before: ${started.said()}`)
      await sleep(1)
    }
    started.child.kill('SIGKILL')
    expect((await started.ended).signal).toBe('SIGKILL')
    expect(atWork()).toEqual([])
    const status = (await shop.ok(`status --json ${ON_FOLDER}`)).json()
    expect([status.slots[1].condition, status.slots[1].image, status.nextBoot]).toEqual([
      'unknown',
      null,
      'a',
    ])
    expect(await boot(shop)).toBe('a')
    await shop.ok(`apply @2.0.bundle ${ON_FOLDER}`)
    expect(isExactly(shop, 'b', '2.0')).toBe(true)
    expect(snapshot(slot('a'))).toBe(running)
    expect(await boot(shop)).toBe('b')
  })
})

const reason = withoutDevices()
if (reason !== undefined) console.log(`skipped: ${reason}`)

describe.skipIf(!ready || reason !== undefined)('a file system without room', () => {
  test('is refused by what the bundle says; where it lies, nothing is armed, and with room it works', async () => {
    await makeTreeBundle(shop, '2.0')
    execFileSync('truncate', ['-s', '24M', shop.path('disk')])
    execFileSync('mkfs.ext4', ['-q', '-m', '0', shop.path('disk')])
    const devices = openDevices()
    try {
      const small = devices.ext4(shop.path('small'), shop.path('disk'))
      execFileSync('cp', ['-a', shop.path('host'), join(small, 'host')])
      const on = '--disk @small/host --config @host.toml'
      const { bavail, bsize } = statfsSync(small)
      writeFileSync(join(small, 'filler'), Buffer.alloc(bavail * bsize - 3 * 1024 * 1024))
      const refused = await shop.pine(`apply @2.0.bundle --json ${on}`)
      expect([refused.exit, refused.json().error.code]).toEqual([3, 'IMAGE_TOO_BIG'])
      const good = readFileSync(shop.path('2.0.bundle'))
      await relabel(shop, '2.0.bundle', {
        change: (manifest) => ({
          ...manifest,
          variants: manifest.variants.map((variant) => ({ ...variant, newBytes: 1 })),
        }),
      })
      const failed = await shop.pine(`apply @2.0.bundle --json ${on}`)
      expect([failed.exit, failed.json().error.code]).toEqual([1, 'IO_FAILED'])
      const status = (await shop.ok(`status --json ${on}`)).json()
      expect([status.slots[1].condition, status.nextBoot]).toEqual(['unknown', 'a'])
      rmSync(join(small, 'filler'))
      writeFileSync(shop.path('2.0.bundle'), good)
      await shop.ok(`apply @2.0.bundle ${on}`)
      expect((await shop.ok(`status --verify --json ${on}`)).json().slots[1].verified).toBe(true)
    } finally {
      devices.close()
    }
  })
})
