import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { nextStep } from '../../src/hijack/auto.ts'
import { installService, reclaimFiles, removeService } from '../../src/hijack/auto-service.ts'
import type { TakeoverStage } from '../../src/hijack/takeover-state.ts'
import { realHost } from '../../src/host/real-host.ts'
import { type Box, makeBox, withoutBox } from './box.ts'
import { filesOf } from './box-files.ts'
import { hostIn } from './box-host.ts'
import { abortOn, makeImage, stageOn } from './takeover-steps.ts'

describe('a takeover that goes on by itself', () => {
  test('takes one step after the other', () => {
    expect(nextStep('staged', null)).toBe('rehearse')
    expect(nextStep('armed', null)).toBe('wait')
    expect(nextStep('rehearsed', null)).toBe('commit')
  })

  test('stops before the step that it was told to', () => {
    expect(nextStep('rehearsed', 'commit')).toBe('end')
    expect(nextStep('rehearsed', 'reclaim')).toBe('commit')
  })

  test.each<TakeoverStage>(['failed', 'silent', 'committed', 'begun'])(
    'tries nothing again without having been looked at: %s',
    (stage) => expect(nextStep(stage, null)).toBe('end'),
  )
})

const UNIT = 'etc/systemd/system/pine-update-takeover.service'
const LINK = 'etc/systemd/system/multi-user.target.wants/pine-update-takeover.service'
const PROGRAM = ['/root/my "pine"/lib/node', '/root/50% $HOME/pine-update.cjs']

describe('its service', () => {
  let dir: string
  const nothing = { boot: Buffer.alloc(0), core: Buffer.alloc(0) }
  const host = () => hostIn({ folder: dir, disk: join(dir, 'disk') }, nothing)
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'pine-auto-'))
  })
  afterEach(() => rmSync(dir, { recursive: true, force: true }))

  test('is started with the system, and gone again', async () => {
    await installService(host(), PROGRAM)
    // Through the link, as systemd finds it.
    expect(readFileSync(join(dir, LINK), 'utf8')).toContain('hijack continue')
    await removeService(host())
    expect(existsSync(join(dir, UNIT))).toBe(false)
    expect(spawnSync('readlink', [join(dir, LINK)]).status).not.toBe(0)
  })

  test('is there once, however often it was begun', async () => {
    await installService(host(), PROGRAM)
    await installService(host(), ['/usr/bin/true'])
    expect(readFileSync(join(dir, LINK), 'utf8')).toContain('"/usr/bin/true" hijack continue')
  })

  test.skipIf(spawnSync('systemd-analyze', ['--version']).error !== undefined)(
    'is one that systemd takes, whatever the folder is called (skipped without systemd-analyze)',
    async () => {
      await installService(host(), ['/bin/echo', ...PROGRAM])
      const text = readFileSync(join(dir, UNIT), 'utf8')
      expect(text).toContain(
        '"/root/my \\"pine\\"/lib/node" "/root/50%% $$HOME/pine-update.cjs" hijack continue',
      )
      execFileSync('systemd-analyze', ['verify', '--man=no', join(dir, UNIT)], { stdio: 'pipe' })
    },
  )

  test('of the new system goes with what is captured, enabled, and not for the rehearsal', async () => {
    const [unit, link] = await reclaimFiles(realHost())
    const text = unit !== undefined && 'content' in unit ? unit.content.toString() : ''
    expect(text).toMatch(/ExecStart=.*hijack reclaim --yes$/m)
    expect(text).toContain('ConditionKernelCommandLine=!pine.rehearse')
    expect(link).toMatchObject({ link: '../pine-update-reclaim.service' })
  })
})

const reason = withoutBox()
if (reason !== undefined) console.log(`skipped, ${reason}: abort of one that goes on by itself`)

describe.skipIf(reason !== undefined)('given up', () => {
  let box: Box
  afterEach(() => box?.close())

  test('it leaves nothing that would go on', async () => {
    box = await makeBox()
    execFileSync('mkdir', ['-p', join(box.folder, 'etc/systemd/system/multi-user.target.wants')])
    writeFileSync(join(box.folder, 'etc/systemd/system/own.service'), 'its own\n')
    const files = filesOf(box.folder)
    await stageOn(box, makeImage(box))
    await installService(box.host, PROGRAM)
    await abortOn(box)
    expect(filesOf(box.folder)).toEqual(files)
  })
})
