import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { AREA } from '../../src/boot/bootstate-area.ts'
import { PineError } from '../../src/core/error.ts'
import type { OpenRegion } from '../../src/core/region.ts'
import { realHost } from '../../src/host/real-host.ts'
import { executePlan } from '../../src/run/execute.ts'
import { withMachine } from '../../src/run/machine.ts'
import { makeBundle, makeHost, ON_DISK, openWorkshop, slotContent, type Workshop } from '../support/cli.ts'

const PINE = join(import.meta.dirname, '../../dist/pine-update.cjs')

let shop: Workshop

beforeEach(async () => {
  shop = openWorkshop()
  await makeHost(shop)
})
afterEach(() => shop.close())

function healthCheck(script: string): void {
  mkdirSync(shop.path('health.d'), { recursive: true })
  writeFileSync(shop.path('health.d/10-web'), `#!/bin/sh\n${script}\n`)
  chmodSync(shop.path('health.d/10-web'), 0o755)
}

async function log(more = ''): Promise<string[]> {
  return (await shop.ok(`log ${ON_DISK}${more}`)).stdout.trimEnd().split('\n')
}

async function events(more = ''): Promise<any[]> {
  return (await shop.ok(`log --json ${ON_DISK}${more}`)).json()
}

async function lastOf(): Promise<any> {
  return (await shop.ok(`status --json ${ON_DISK}`)).json().last
}

/** All of them, in this order, with anything between. */
function inOrder(...parts: string[]): RegExp {
  return new RegExp(parts.map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('[\\s\\S]*'))
}

describe('the log tells', () => {
  test('an update that did not prove itself, from its start to the way back', async () => {
    await makeBundle(shop, '2.0')
    await shop.ok(`apply @2.0.bundle ${ON_DISK}`)
    await shop.boot()
    healthCheck('echo no answer; exit 1')
    await shop.pine(`health --boot ${ON_DISK}`)
    await shop.boot()
    healthCheck('exit 0')
    await shop.ok(`health --boot ${ON_DISK}`)
    const text = (await log()).join('\n')
    expect(text).toMatch(
      inOrder(
        '  apply     start        2.0 goes to slot b and boots next.',
        `By process ${process.pid} (`,
        '  apply     step         boot slot b next, with 3 tries',
        '  apply     done\n',
        '  boot      unhealthy    slot b with 2.0, on trial, 2 tries left: 10-web: failed (exit code 1): no answer\n',
        '  reject    start        2.0 is given up; slot a boots next.',
        '  reject    step         remember that 2.0 was rejected: 10-web: failed',
        '  boot      healthy      slot a with 1.0, confirmed, 1 try left\n',
        '  confirm   done',
      ),
    )
    for (const line of text.split('\n')) expect(line).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d {2}\S/)
  })

  test('the same to programs, each event with its number, time, and what it is about', async () => {
    await makeBundle(shop, '2.0')
    await shop.ok(`apply @2.0.bundle ${ON_DISK}`)
    const all = await events()
    expect(all.map(({ sequence }) => sequence)).toEqual(all.map((_, index) => index + 1))
    for (const { at, event, intent } of all) {
      expect(new Date(at).toISOString()).toBe(at)
      expect([event, intent]).toEqual([expect.stringMatching(/^(start|step|done)$/), 'apply'])
    }
    const { image } = (await shop.ok(`status --json ${ON_DISK}`)).json().slots[1]
    const about = { slot: 'b', version: '2.0', digest: image.digest.slice(0, 12), pid: String(process.pid) }
    expect(all[0]).toMatchObject({ event: 'start', ...about, command: expect.stringContaining('vitest') })
    expect(all.at(-2)).toMatchObject({ event: 'step', kind: 'arm-slot' })
    expect(await events(' --lines 2')).toEqual(all.slice(-2))
    expect(await log(' --lines 2')).toEqual((await log()).slice(-2))
  })

  test('what failed and why; and status keeps saying so through the boots that follow', async () => {
    await makeBundle(shop, '2.0')
    const bytes = readFileSync(shop.path('2.0.bundle'))
    bytes[bytes.length - 100] = (bytes.at(-100) ?? 0) ^ 1
    writeFileSync(shop.path('2.0.bundle'), bytes)
    expect((await shop.pine(`apply @2.0.bundle ${ON_DISK}`)).exit).toBe(1)
    expect((await events()).at(-1)).toMatchObject({
      event: 'failed',
      intent: 'apply',
      code: 'BUNDLE_CORRUPT',
      step: expect.stringContaining('write image'),
    })
    expect((await log()).at(-1)).toMatch(/ {2}apply {5}failed {7}BUNDLE_CORRUPT: .* \(at: write image/)
    await shop.boot()
    healthCheck('exit 0')
    await shop.ok(`health --boot ${ON_DISK}`)
    const { attempt, confirmed } = await lastOf()
    expect(attempt).toMatchObject({ intent: 'apply', version: '2.0', end: 'failed', code: 'BUNDLE_CORRUPT' })
    expect(confirmed).toBe(null)
    const { stdout } = await shop.ok(`status ${ON_DISK}`)
    expect(stdout).toMatch(/\nlast {8}apply of 2\.0 failed at [-0-9: ]{19} UTC: BUNDLE_CORRUPT: /)
  })

  test('which release became permanent, and that a routine confirmation is nothing new', async () => {
    await makeBundle(shop, '2.0')
    await shop.ok(`apply @2.0.bundle ${ON_DISK}`)
    await shop.boot()
    await shop.ok(`confirm ${ON_DISK}`)
    const first = await lastOf()
    expect(first.confirmed).toMatchObject({ version: '2.0' })
    expect(first.attempt).toMatchObject({ intent: 'confirm', version: '2.0', end: 'done', code: null })
    await shop.ok(`confirm ${ON_DISK}`)
    expect(await lastOf()).toEqual(first)
    expect((await shop.ok(`status ${ON_DISK}`)).stdout).toMatch(/\nconfirmed {3}2\.0 at [-0-9: ]{19} UTC\n/)
  })

  test('nothing on a fresh disk, and what it can where the boot state is gone', async () => {
    expect(await log()).toEqual(['nothing was noted yet'])
    expect(await events()).toEqual([])
    await shop.ok(`confirm ${ON_DISK}`)
    const disk = readFileSync(shop.path('host.img'))
    disk.fill(0, 2 ** 21 + AREA.env0.offset, 2 ** 21 + AREA.env1.offset + AREA.env1.bytes)
    writeFileSync(shop.path('host.img'), disk)
    expect((await events()).at(-1)).toMatchObject({ event: 'done' })
  })

  test('one line for each event, whatever a health check prints', async () => {
    await makeBundle(shop, '2.0')
    await shop.ok(`apply @2.0.bundle ${ON_DISK}`)
    await shop.boot()
    healthCheck(`printf '\\033[31mred\\nconfirmed \\342\\200\\256'; exit 1`)
    await shop.pine(`health --boot ${ON_DISK}`)
    for (const command of ['log', 'status']) {
      const { stdout } = await shop.ok(`${command} ${ON_DISK}`)
      expect(stdout).toMatch(/10-web: failed \(exit code 1\): {1,2}\[31mred; confirmed\n/)
      expect(stdout.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}]/u)
    }
  })
})

describe('an apply that is', () => {
  let child: ChildProcess

  /** Until it writes to the slot, and waits for the rest of the bundle. */
  beforeEach(async () => {
    await makeBundle(shop, '2.0')
    const where = ['--disk', shop.path('host.img'), '--config', shop.path('host.toml')]
    child = spawn(process.execPath, [PINE, 'apply', '-', ...where], { stdio: ['pipe', 'ignore', 'ignore'] })
    child.stdin
      ?.on('error', () => undefined)
      .write(readFileSync(shop.path('2.0.bundle')).subarray(0, -200_000))
    while ((await events()).at(-1)?.kind !== 'write-image') await shop.host.sleep(50)
  })
  afterEach(() => void child.kill('SIGKILL'))

  test('under way is not called interrupted', async () => {
    expect((await events()).at(-1).interrupted).toBe(undefined)
    expect((await log()).at(-1)).toContain(`at work      process ${child.pid} (pine-update apply -`)
    const { attempt } = await lastOf()
    expect(attempt).toMatchObject({
      intent: 'apply',
      end: 'at work',
      step: expect.stringContaining('write image'),
    })
    const { stdout } = await shop.ok(`status ${ON_DISK}`)
    expect(stdout).toMatch(/slot b {6}unknown, 0 tries left: no known image\nnext boot {3}slot a\n/)
  })

  test('killed is called interrupted, where it was, also after the next one went well', async () => {
    child.kill('SIGKILL')
    await once(child, 'exit')
    expect((await events()).at(-1)).toMatchObject({ kind: 'write-image', interrupted: true })
    expect((await log()).at(-1)).toMatch(/^ {21}apply {5}interrupted {2}nothing more was noted/)
    expect((await lastOf()).attempt).toMatchObject({ intent: 'apply', version: '2.0', end: 'interrupted' })
    expect((await shop.ok(`status ${ON_DISK}`)).stdout).toMatch(
      /apply of 2\.0 was interrupted after .* UTC: write/,
    )
    await shop.ok(`apply @2.0.bundle ${ON_DISK}`)
    expect((await log()).join('\n')).toMatch(
      inOrder('apply     interrupted', 'apply     start', 'apply     done'),
    )
    expect((await events()).filter(({ interrupted }) => interrupted)).toHaveLength(1)
    expect((await lastOf()).attempt).toMatchObject({ end: 'done' })
  })

  test('stopped by a signal says so', async () => {
    child.kill('SIGTERM')
    child.stdin?.end(readFileSync(shop.path('2.0.bundle')).subarray(-200_000))
    expect(await once(child, 'exit')).toEqual([130, null])
    expect((await events()).at(-1)).toMatchObject({ event: 'failed', code: 'INTERRUPTED' })
  })
})

describe('a log that cannot be written', () => {
  const isLog = (position: number) => position >= AREA.log.offset

  /** A workshop on the same disk in which lines of the log fail from one on. */
  function withBrokenLog(from: (event: string) => boolean): Workshop {
    const host = realHost()
    let broken = false
    return openWorkshop({
      ...host,
      async openRegion(path, options) {
        const region: OpenRegion = await host.openRegion(path, options)
        if (options?.bytes !== 2 ** 20 || options.offset !== 2 ** 21) return region
        const write: OpenRegion['write'] = async (bytes, position) => {
          broken ||= isLog(position) && from(Buffer.from(bytes).toString())
          if (broken && isLog(position)) throw new PineError('IO_FAILED', 'sector 640 is bad')
          await region.write(bytes, position)
        }
        return { ...region, write }
      },
    })
  }

  const run = (line: string, from: (event: string) => boolean = () => true) => {
    const broken = withBrokenLog(from)
    const on = `--disk ${shop.path('host.img')} --config ${shop.path('host.toml')}`
    return broken.pine(`${line} ${on}`).finally(broken.close)
  }
  const apply = () => `apply ${shop.path('2.0.bundle')} --json`
  const NOTICE = 'the event log cannot be written, going on without it: sector 640 is bad'

  beforeEach(async () => {
    await makeBundle(shop, '2.0')
  })

  test('stops an update before anything else is written', async () => {
    const before = slotContent(shop, 'b')
    const ran = await run(apply())
    expect([ran.exit, ran.json().error.code]).toEqual([1, 'IO_FAILED'])
    expect(slotContent(shop, 'b').equals(before)).toBe(true)
    const { slots, nextBoot } = (await shop.ok(`status --json ${ON_DISK}`)).json()
    expect([nextBoot, slots[1].image]).toEqual(['a', null])
  })

  test('does not make a failure of an update that is under way, and says so once', async () => {
    const ran = await run(apply(), (event) => event.includes('"disarm-slot"'))
    expect([ran.exit, ran.json().changed]).toEqual([0, true])
    expect(ran.stderr.split(NOTICE)).toHaveLength(2)
    expect(await shop.boot()).toBe('b')
  })

  test('does not make a failure of an update whose release is armed', async () => {
    const ran = await run(apply(), (event) => event.includes('"done"'))
    expect([ran.exit, ran.json().changed]).toEqual([0, true])
    expect(ran.stderr).toContain(NOTICE)
    expect(await shop.boot()).toBe('b')
  })

  test('does not stop what leads out of trouble', async () => {
    await shop.ok(`apply @2.0.bundle ${ON_DISK}`)
    await shop.boot()
    healthCheck('exit 1')
    const verdict = await run('health --boot')
    expect([verdict.exit, verdict.stderr]).toEqual([4, expect.stringContaining(NOTICE)])
    expect(await shop.boot()).toBe('a')
    expect((await run('confirm')).exit).toBe(0)
    await shop.ok(`apply @2.0.bundle --force-rejected ${ON_DISK}`)
    await shop.boot()
    await shop.ok(`confirm ${ON_DISK}`)
    expect((await run('rollback')).exit).toBe(0)
    expect(await shop.boot()).toBe('a')
  })
})

test('a restart that fails does not hide that the release is in place', async () => {
  const options = { disk: shop.path('host.img'), writable: true }
  const failed = withMachine(shop.host, options, async (machine) => {
    const exec = async (): Promise<never> => {
      throw new PineError('TOOL_FAILED', 'systemctl failed (exit code 1): no bus')
    }
    const live = { ...machine, disk: { ...machine.disk, live: true }, host: { ...machine.host, exec } }
    const plan = {
      intent: 'apply',
      outcome: '2.0 goes to slot b and boots next.',
      steps: [{ kind: 'reboot' }],
    } as const
    await executePlan(plan, { machine: live, onStep: () => undefined })
  })
  await expect(failed).rejects.toMatchObject({
    code: 'TOOL_FAILED',
    message:
      '2.0 goes to slot b and boots next. Only the restart failed: systemctl failed (exit code 1): no bus',
    hint: 'restart the machine yourself',
  })
  expect((await events()).at(-1)).toMatchObject({ event: 'failed', code: 'TOOL_FAILED', step: 'reboot' })
})

describe('output that goes nowhere', () => {
  const command = () => `"${process.execPath}" "${PINE}" log --disk "${shop.path('host.img')}"`

  test('since the reader has left: no error, no stack trace', async () => {
    for (let n = 0; n < 3; n++) await shop.ok(`confirm ${ON_DISK}`)
    // The reader is gone before the first line is written.
    for (const reader of ['head -1', 'true', 'exec <&-; sleep 1']) {
      const script = `( ${command()}; echo "exit $?" >&2 ) | ( ${reader} )`
      const { stderr } = spawnSync('bash', ['-c', script], { encoding: 'utf8' })
      expect(stderr).toBe('exit 0\n')
    }
  })

  test('does not stop an update', async () => {
    await makeBundle(shop, '2.0')
    const apply = `"${process.execPath}" "${PINE}" apply "${shop.path('2.0.bundle')}"`
    const on = `--disk "${shop.path('host.img')}" --config "${shop.path('host.toml')}"`
    const script = `( ${apply} ${on} 2>&1; echo "exit $?" >&3 ) 3>&2 | true`
    expect(spawnSync('bash', ['-c', script], { encoding: 'utf8' }).stderr).toBe('exit 0\n')
    expect(await shop.boot()).toBe('b')
  })

  test('since the disk is full: the result is lost, and that is an error', () => {
    const { status, stderr } = spawnSync('bash', ['-c', `${command()} > /dev/full`], { encoding: 'utf8' })
    expect([status, stderr]).toEqual([1, expect.stringContaining('IO_FAILED: the result cannot be written')])
  })

  test('has no control codes in it where it is no terminal', () => {
    for (const line of ['log', 'status', 'status --verify', 'confirm', 'status --nonsense']) {
      const script = `"${process.execPath}" "${PINE}" ${line} --disk "${shop.path('host.img')}" 2>&1 || true`
      const printed = execFileSync('bash', ['-c', script], {
        encoding: 'utf8',
        env: { ...process.env, FORCE_COLOR: '1' },
      })
      expect(['\u001b', '\r'].filter((code) => printed.includes(code))).toEqual([])
    }
  })
})

test('with --json what was typed wrongly is a document too', async () => {
  for (const line of ['log --nonsense', 'apply', 'log --lines 0', 'nonsense', 'log --lines 257']) {
    const ran = await shop.pine(`${line} --json`)
    expect([line, ran.exit, ran.json().error.code]).toEqual([line, 2, 'USAGE'])
  }
})
