import { execFileSync } from 'node:child_process'
import { createWriteStream, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  makeBundle,
  makeHost,
  noise,
  ON_DISK,
  openWorkshop,
  slotContent,
  type Workshop,
} from '../support/cli.ts'
import { startProgram } from './process.ts'
import { expectIntact, expectNextTryWorks, keepDisk } from './story.ts'

let shop: Workshop
let fresh: ReturnType<typeof keepDisk>
/** A bundle without its end. */
let start: Buffer

beforeAll(async () => {
  shop = openWorkshop()
  await makeHost(shop)
  await makeBundle(shop, '2.0')
  const bundle = readFileSync(shop.path('2.0.bundle'))
  start = bundle.subarray(0, bundle.length * 0.8)
  fresh = keepDisk(shop, 'fresh.img')
})
beforeEach(() => fresh.restore())
afterAll(() => shop.close())

/** Resolves when what has arrived was put to use. */
async function untilStalled(): Promise<void> {
  const chunk = readFileSync(shop.path('2.0.img')).subarray(0, 1024 * 1024)
  while (!slotContent(shop, 'b').subarray(0, chunk.length).equals(chunk)) await sleep(20)
  // What else has arrived is looked at by then.
  await sleep(200)
}

describe('a sender that stalls', () => {
  test.each(['SIGINT', 'SIGTERM'] as const)('on standard input: %s stops the apply', async (signal) => {
    const { child, saying, ended } = startProgram(shop, `apply - ${ON_DISK}`)
    child.stdin?.write(start)
    await saying('write image')
    await untilStalled()
    child.kill(signal)
    expect(await ended).toMatchObject({ exit: 130, stderr: expect.stringContaining('interrupted; what was') })
    await expectIntact(shop)
    await expectNextTryWorks(shop)
  })

  test('on a named pipe, where a read cannot be called off: the second signal ends it', async () => {
    const pipe = shop.path('pipe')
    execFileSync('mkfifo', [pipe])
    const { child, saying, ended } = startProgram(shop, `apply @pipe ${ON_DISK}`)
    const sender = createWriteStream(pipe)
    sender.write(start)
    await saying('write image')
    await untilStalled()
    // Two that come close together may count as one.
    const signals = setInterval(() => child.kill('SIGTERM'), 200)
    expect(await ended).toMatchObject({ exit: null, signal: 'SIGTERM' })
    clearInterval(signals)
    sender.destroy()
    await expectIntact(shop)
    await expectNextTryWorks(shop)
  })
})

describe('whoever reads along goes away', () => {
  test('from standard error, as a terminal that is closed: the apply goes on', async () => {
    const { child, ended } = startProgram(shop, `apply @2.0.bundle ${ON_DISK}`)
    child.stderr?.destroy()
    expect(await ended).toMatchObject({ exit: 0, signal: null })
    expect(await shop.boot()).toBe('b')
  })

  test('from standard output, as "| head" does: no error', async () => {
    const { child, ended } = startProgram(shop, `status --json ${ON_DISK}`)
    child.stdout?.destroy()
    expect(await ended).toMatchObject({ exit: 0, stderr: '' })
  })
})

describe('what is being made', () => {
  test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
    'and is stopped by %s leaves no temporary files',
    async (signal) => {
      const folder = shop.path(`out-${signal}`)
      mkdirSync(folder)
      // Enough to pack for some seconds.
      writeFileSync(shop.path('large.img'), noise(48 * 1024 * 1024, 7))
      const line = `bundle create --effort 9 --to @large.img --release 9 --compatible test --key @keys/ci.key`
      const { child, ended } = startProgram(shop, `${line} --out ${folder}/9.bundle`)
      while (readdirSync(folder).length === 0) await sleep(20)
      child.kill(signal)
      expect(await ended).toMatchObject({
        signal,
        stderr: expect.stringContaining('pine-update: interrupted\n'),
      })
      expect(readdirSync(folder)).toEqual([])
    },
  )

  test('and is stopped ends the program that it runs', async () => {
    mkdirSync(shop.path('bin'))
    // Says that it runs by the name of a file, and becomes what it waits for.
    const script = `#!/bin/sh\ntouch ${shop.path('bin')}/pid-$$\nexec sleep 300\n`
    writeFileSync(shop.path('bin/mksquashfs'), script, { mode: 0o755 })
    const env = { PATH: `${shop.path('bin')}:${process.env.PATH}` }
    const { child, ended } = startProgram(shop, 'image build --tree @tree-2.0 --out @x.img', { env })
    const pidOf = () =>
      readdirSync(shop.path('bin')).flatMap((name) => /^pid-(\d+)$/.exec(name)?.[1] ?? [])[0]
    while (pidOf() === undefined) await sleep(20)
    child.kill('SIGTERM')
    expect(await ended).toMatchObject({ signal: 'SIGTERM' })
    expect(readdirSync(shop.dir).filter((name) => name.startsWith('x.img'))).toEqual([])
    while (existsSync(`/proc/${pidOf()}/exe`)) await sleep(20)
  })
})
