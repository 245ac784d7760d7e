import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, openSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { realHost } from '../../src/host/real-host.ts'
import { liveMachine } from '../faults/live-host.ts'
import { makeHost, ON_DISK, openWorkshop, type Workshop } from '../support/cli.ts'

const PINE = join(import.meta.dirname, '../../dist/pine-update.cjs')

let shop: Workshop
let children: ChildProcess[]

beforeEach(async () => {
  shop = openWorkshop()
  children = []
  await makeHost(shop)
})
afterEach(() => {
  for (const child of children) child.kill('SIGKILL')
  shop.close()
})

function start(command: string, args: readonly string[]): ChildProcess {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  children.push(child)
  return child
}

/** The real program in a process of its own: it waits for a bundle that does not come. */
async function startApply(): Promise<ChildProcess> {
  const where = ['--disk', shop.path('host.img'), '--config', shop.path('host.toml')]
  const child = start(process.execPath, [PINE, 'apply', '-', ...where])
  while ((await status()).atWork === null) await shop.host.sleep(50)
  return child
}

async function status(): Promise<any> {
  return (await shop.ok(`status --json ${ON_DISK}`)).json()
}

async function kill(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL')
  await once(child, 'exit')
}

describe('while another process is at work', () => {
  test('the second one is told which, with --json too, and changes nothing', async () => {
    const { pid } = await startApply()
    const named = `process ${pid} (pine-update apply - --disk ${shop.path('host.img')} `
    for (const command of ['confirm', 'rollback', 'reject']) {
      const ran = await shop.pine(`${command} --json ${ON_DISK}`)
      expect(ran.exit).toBe(3)
      expect(ran.stderr).toContain('status" may be asked at any time')
      const { code, message } = ran.json().error
      expect([code, message]).toEqual(['BUSY', expect.stringContaining(named)])
      expect(message).toMatch(/ has been at work on .*host\.img for \d+ s$/)
    }
  })

  test('status and log work, and name it', async () => {
    const { pid } = await startApply()
    const { atWork, nextBoot } = await status()
    expect(atWork).toMatchObject({ pid, command: expect.stringContaining('pine-update apply -') })
    expect(Number.isNaN(Date.parse(atWork.since))).toBe(false)
    expect(nextBoot).toBe('a')
    expect((await shop.ok(`status ${ON_DISK}`)).stdout).toContain(
      `at work     process ${pid} (pine-update apply`,
    )
    expect((await shop.ok(`log ${ON_DISK}`)).stdout).toContain(
      `at work      process ${pid} (pine-update apply`,
    )
  })

  test('dry runs do not wait for it', async () => {
    await startApply()
    expect((await shop.pine(`confirm --dry-run ${ON_DISK}`)).exit).toBe(0)
  })

  test('its end by SIGKILL frees the disk at once', async () => {
    await kill(await startApply())
    await shop.ok(`confirm ${ON_DISK}`)
    expect((await status()).atWork).toBe(null)
  })

  test('the verdict after a boot waits, and says for whom once', async () => {
    const child = await startApply()
    let naps = 0
    const host = {
      ...realHost(),
      sleep: async () => {
        naps += 1
        if (naps === 3) await kill(child)
      },
    }
    const patient = openWorkshop(host)
    const line = `health --boot --disk ${shop.path('host.img')} --config ${shop.path('host.toml')}`
    const ran = await patient.ok(line)
    patient.close()
    expect(ran.stdout).toContain('1.0 in slot a is permanent')
    expect(ran.stderr.match(/waiting: process \d+ \(pine-update apply/g)).toHaveLength(1)
    expect(ran.stderr).toContain(`process ${child.pid} `)
  })

  test('whoever confirms as soon as ssh is up waits as well', async () => {
    const child = await startApply()
    const { host } = await liveMachine(shop)
    const live = openWorkshop({ ...host, sleep: () => kill(child) })
    const ran = await live.ok(`confirm --config ${shop.path('host.toml')}`)
    live.close()
    expect(ran.stdout).toContain('1.0 in slot a is permanent')
    expect(ran.stderr).toContain(`waiting: process ${child.pid} `)
  })

  test('one in another container is not named, but counts', async (context) => {
    const unshare = ['--pid', '--fork', '--mount-proc']
    if (spawnSync('unshare', [...unshare, 'true']).status !== 0)
      return context.skip('unshare is not allowed here')
    await startApply()
    const inside = [process.execPath, PINE, 'confirm', '--json', '--disk', shop.path('host.img')]
    const ran = spawnSync('unshare', [...unshare, ...inside], { encoding: 'utf8' })
    const { code, message } = JSON.parse(ran.stdout).error
    expect([ran.status, code]).toEqual([3, 'BUSY'])
    expect(message).toMatch(/^a process that cannot be seen from here is at work on .*another container/)
  })
})

/** A command line in which each wait lets the given thing happen instead. */
async function runMeanwhile(line: string, meanwhile: () => Promise<void>) {
  const patient = openWorkshop({ ...realHost(), sleep: meanwhile })
  const where = `--disk ${shop.path('host.img')} --config ${shop.path('host.toml')}`
  return patient.pine(`${line} ${where}`).finally(patient.close)
}

test('who only looks at the disk for a moment, as udev does, is waited for; but not for ever', async () => {
  const look = ['--no-fork', '--shared', shop.path('host.img'), 'sh', '-c', 'echo locked; read _']
  const child = start('flock', look)
  if (child.stdout === null) throw new Error('no output')
  await once(child.stdout, 'data')
  expect((await status()).atWork).toBe(null)
  let naps = 0
  const refused = await runMeanwhile('confirm', async () => void naps++)
  expect([refused.exit, naps]).toEqual([3, 3])
  expect(refused.stderr).toContain(`BUSY: process ${child.pid} (sh -c`)
  expect((await runMeanwhile('confirm', () => kill(child))).exit).toBe(0)
})

test('the disk of a running system is not worked on behind its back', async (context) => {
  const attached = spawnSync('losetup', ['--find', '--show', shop.path('host.img')], { encoding: 'utf8' })
  if (attached.status !== 0) return context.skip('no loop device (not root, or a bare container)')
  const device = attached.stdout.trim()
  const on = `--disk ${device} --config @host.toml`
  try {
    // As a mount does it.
    const claim = openSync(device, constants.O_RDWR | constants.O_EXCL)
    expect((await shop.pine(`confirm --json ${on}`)).json().error.code).toBe('DISK_IN_USE')
    await shop.ok(`status ${on}`)
    closeSync(claim)
    await shop.ok(`confirm ${on}`)
  } finally {
    spawnSync('losetup', ['--detach', device])
  }
})
