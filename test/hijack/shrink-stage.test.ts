import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { carve } from '../../src/hijack/carve.ts'
import { readExt4 } from '../../src/hijack/ext4.ts'
import type { ShrinkPlan } from '../../src/hijack/shrink-plan.ts'
import { realCarving } from '../../src/host/extents.ts'
import { realHost } from '../../src/host/real-host.ts'
import { filesOf } from './box-files.ts'
import { MiB, type OldRoot, openOldRoot } from './old-root.ts'
import { decide, runStage, scatter, WANTED, withoutShrink } from './shrink-run.ts'

const reason = withoutShrink()
if (reason !== undefined) console.log(`skipped, ${reason}: the shrink in the shutdown stage`)
const TIMEOUT = 120_000

let old: OldRoot
beforeEach((context) => {
  if (reason !== undefined) return context.skip(reason)
  old = openOldRoot('ext4', { bytes: 896 * MiB })
  mkdirSync(`${old.folder}/tmp`)
  mkdirSync(`${old.folder}/pine-update`)
})
afterEach(() => old?.close())

async function planOf(): Promise<ShrinkPlan> {
  const plan = await decide(old)
  if ('severity' in plan) throw new Error(plan.text)
  return plan
}

const files = () => filesOf(old.folder)
const blocks = async () => (await readExt4(realHost(), old.device)).blocks
const carveAgain = () =>
  carve(realHost(), realCarving(), {
    ...{ file: `${old.folder}/carved`, partitionOffset: old.partitionOffset, limit: old.limit },
    wanted: WANTED,
  })

/** As it was, but for the log. */
async function expectSame(before: ReturnType<typeof files>, plan: ShrinkPlan): Promise<void> {
  expect(old.findDamage()).toBeUndefined()
  expect(await blocks()).toBe(plan.full)
  old.mount()
  const { 'pine-update/shrink.log': log, ...others } = files()
  expect(log).toBeDefined()
  expect(others).toEqual(before)
}

describe('the shutdown stage', () => {
  test(
    'a scattered root has its free space in one piece, and all its files',
    async () => {
      scatter(old)
      await expect(carveAgain()).rejects.toThrow('too scattered')
      const [plan, before] = [await planOf(), files()]
      expect(plan.target).toBeLessThan(plan.full - (150 * MiB) / plan.blockBytes)
      old.unmount()
      const ran = await runStage(plan)
      expect(ran, ran.log).toMatchObject({ outcome: 'shrunk', asked: 'b' })
      await expectSame(before, plan)
      expect(readFileSync(`${old.folder}/pine-update/shrink.log`, 'utf8')).toContain('outcome shrunk\n')
      const { parts } = await carveAgain()
      expect(parts).toHaveLength(WANTED.length)
    },
    TIMEOUT,
  )

  test('a root that is in use is left alone', async () => {
    scatter(old)
    const [plan, before] = [await planOf(), files()]
    old.unmount()
    const ran = await runStage(plan, { holds: true })
    expect(ran.outcome).toBe('untouched / is in use and cannot be unmounted')
    expect(ran.asked).toBe('b')
    await expectSame(before, plan)
  })

  test('errors that e2fsck does not repair by itself: nothing is changed', async () => {
    scatter(old)
    const plan = await planOf()
    old.unmount()
    execFileSync('debugfs', ['-w', '-R', 'clri /d1', old.device], { stdio: 'ignore' })
    const ran = await runStage(plan)
    expect(ran.outcome).toBe('untouched e2fsck finds errors that it does not repair by itself')
    expect(ran.log).toContain('UNEXPECTED INCONSISTENCY')
    expect(ran.log).not.toContain('shrink to')
    expect(await blocks()).toBe(plan.full)
  })

  test('more was written meanwhile: nothing is moved', async () => {
    scatter(old)
    const plan = await planOf()
    writeFileSync(`${old.folder}/late`, Buffer.alloc(old.freeBytes() - 180 * MiB, 'x'))
    const before = files()
    old.unmount()
    const ran = await runStage(plan)
    expect(ran.outcome).toBe('untouched / is not as it was: too full, or of another size')
    await expectSame(before, plan)
  })

  test('another file system has the name of its device: nothing is moved', async () => {
    const plan = await planOf()
    const before = files()
    old.unmount()
    const uuid = '6f1e0002-0000-4000-8000-00000000ffff'
    expect((await runStage({ ...plan, uuid })).outcome).toContain('untouched')
    await expectSame(before, plan)
  })

  test('resize2fs has no room after all: it is as it was, and said so', async () => {
    scatter(old)
    const [plan, before] = [await planOf(), files()]
    old.unmount()
    const dump = execFileSync('dumpe2fs', ['-h', old.device], { encoding: 'utf8' })
    const free = Number(/^Free blocks:\s+(\d+)$/m.exec(dump)?.[1])
    const ran = await runStage({ ...plan, keep: -12_000, target: plan.full - free - 12_000 })
    expect(ran, ran.log).toMatchObject({
      outcome: 'failed resize2fs cannot make it smaller',
      asked: 'b',
    })
    await expectSame(before, plan)
  })

  test('it cannot be made large again: smaller, sound, and said so', async () => {
    scatter(old)
    const [plan, before] = [await planOf(), files()]
    old.unmount()
    const ran = await runStage(plan, {
      prepare: (folder) => {
        execFileSync('mv', [`${folder}/bin/resize2fs`, `${folder}/bin/real`])
        const only = '#!/bin/sh\n[ "$1" = -f ] || exit 1\nexec real "$@"\n'
        writeFileSync(`${folder}/bin/resize2fs`, only, { mode: 0o755 })
      },
    })
    expect(ran.outcome).toBe('smaller it cannot be made as large again')
    expect(await blocks()).toBe(plan.target)
    await expectSame(before, { ...plan, full: plan.target })
  })

  test.each([
    ['poweroff', 'o'],
    ['halt', 'o'],
  ])('at a %s nothing is done but that', async (verb, asked) => {
    const [plan, before] = [await planOf(), files()]
    old.unmount()
    const ran = await runStage(plan, { verb })
    expect(ran).toMatchObject({ outcome: expect.stringMatching(/^untouched the machine was to stop/), asked })
    await expectSame(before, plan)
  })

  test.each(['e2fsck', 'resize2fs', 'umount', 'sh'])('that %s cannot be started is found', async (name) => {
    const plan = await planOf()
    const prepare = (folder: string) => {
      execFileSync('rm', [`${folder}/bin/${name}`])
      execFileSync('chroot', [folder, '/shutdown', 'check'], { stdio: 'pipe' })
    }
    await expect(runStage(plan, { prepare })).rejects.toThrow('/shutdown check')
  })
})
