import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { type Ext4, freeBehind, readExt4 } from '../../src/hijack/ext4.ts'
import { variableIn, withoutEntry, withRepairEntry } from '../../src/hijack/grub-once.ts'
import { armShrink, disarmShrink, observeShrink } from '../../src/hijack/shrink.ts'
import { describeShrink, shrinkOutcome } from '../../src/hijack/shrink-outcome.ts'
import { decideShrink, planShrink, type ShrinkPlan } from '../../src/hijack/shrink-plan.ts'
import { librariesIn, settingsText } from '../../src/hijack/shrink-stage.ts'
import { wantedPartitions } from '../../src/hijack/wanted.ts'
import type { Host } from '../../src/host/host.ts'
import { realHost } from '../../src/host/real-host.ts'
import { type Box, makeBox, rootOf, withoutBox } from './box.ts'
import { filesOf } from './box-files.ts'
import { MiB, makeFile } from './old-root.ts'
import { sourceHost, WANTED, withoutShrink } from './shrink-run.ts'
import { GOOD_BOX } from './takeover-facts.ts'
import { abortOn, makeImage, OLD, stageIn, stageOn } from './takeover-steps.ts'

/** 10 GiB, as mke2fs makes it. */
const EXT4: Ext4 = {
  uuid: '6f1e0002-0000-4000-8000-000000000000',
  ...{ blockBytes: 4096, blocks: 2_621_440, blocksPerGroup: 32_768, inodesPerGroup: 8192 },
  ...{ flexGroups: 16, tableBlocks: 512, backupBlocks: 1027, strange: [] },
}
const PLACE = { device: '/dev/vda2', offset: 2 * MiB, bytes: 10_240 * MiB }
const space = (freeMiB: number) => ({ freeBlocks: freeMiB * 256, inodes: 655_360, freeInodes: 600_000 })
/** Of an image of 180 MiB: a GiB in all. */
const LARGE = wantedPartitions(180 * MiB, { slotBytes: undefined, stateBytes: 256 * MiB }, 512 * MiB)

describe('how small it is made', () => {
  test('as little as is needed, and 5 % stay free', () => {
    const plan = decideShrink(EXT4, space(2500), LARGE, PLACE)
    expect(plan).toMatchObject({ full: EXT4.blocks, device: '/dev/vda2', keep: 256 * 256 })
    const { target = 0, movedBytes = 0 } = plan as Partial<ShrinkPlan>
    expect(movedBytes).toBe((EXT4.blocks - target) * 4096)
    expect(movedBytes / MiB).toBeGreaterThan(1050)
    expect(movedBytes / MiB).toBeLessThan(1110)
    expect(decideShrink(EXT4, space(1605), LARGE, PLACE)).toMatchObject({ target: expect.any(Number) })
    expect(decideShrink(EXT4, space(1540), LARGE, PLACE)).toMatchObject({
      severity: 'stop',
      text: 'of / 1.0 GiB can be spared, which is too little even in one piece',
    })
  })

  test('where a flex group begins more has to go', () => {
    const small = { ...EXT4, blocks: EXT4.blocks - 128 * 256 * 12 }
    const place = { ...PLACE, bytes: 8704 * MiB }
    const { movedBytes = 0 } = decideShrink(small, space(3000), LARGE, place) as Partial<ShrinkPlan>
    expect(movedBytes / MiB).toBeGreaterThan(1110)
  })

  test('what is free ends where tables and backups begin', () => {
    const group = (number: number) => number * 32_768
    expect(freeBehind(EXT4, group(47))).toEqual([
      { from: group(47), to: group(48) },
      { from: group(48) + 16 * 514, to: group(49) },
      { from: group(49) + 1027, to: group(64) },
      { from: group(64) + 16 * 514, to: group(80) },
    ])
  })

  test('not smaller than its inodes need', () => {
    const full = { freeBlocks: 2500 * 256, inodes: 655_360, freeInodes: 8192 }
    expect(decideShrink(EXT4, full, LARGE, PLACE)).toMatchObject({ severity: 'stop' })
  })

  test.each([
    [{ ...EXT4, flexGroups: 1 }, 'without flex_bg'],
    [{ ...EXT4, strange: ['bigalloc'] }, 'with bigalloc'],
    [{ ...EXT4, blocks: EXT4.blocks + 1 }, 'larger than its partition'],
  ])('what it is not reckoned for is refused', (ext4, text) => {
    const found = decideShrink(ext4, space(2500), LARGE, PLACE)
    expect(found).toMatchObject({ severity: 'stop', text: expect.stringContaining(text) })
  })

  test('xfs cannot be made smaller', async () => {
    const root = { ...GOOD_BOX.root, mount: { ...GOOD_BOX.root.mount, fs: 'xfs' } }
    const found = await planShrink(realHost(), { facts: { ...GOOD_BOX, root }, wanted: WANTED })
    expect(found).toMatchObject({
      text: 'a file system of the kind xfs cannot be made smaller, only ext4 can',
      hint: expect.stringContaining('--slot-size'),
    })
  })
})

describe('what came of it', () => {
  const record = { bootId: 'one', device: '/dev/vda2', full: 1000, target: 800 }
  const facts = { record, log: undefined, isWaiting: false, bootId: 'two', blocks: 1000 }

  test.each([
    ['waiting', { bootId: 'one', isWaiting: true }],
    ['off', { bootId: 'one' }],
    ['silent', {}],
    ['cut-off', { blocks: 800 }],
    ['shrunk', { log: 'blocks 1\noutcome shrunk\n' }],
    ['smaller', { log: 'outcome smaller it cannot be made as large again\n', blocks: 800 }],
    ['silent', { log: 'shrink to 800\n' }],
    ['silent', { log: 'outcome of something else\n' }],
  ])('%s', (kind, change) => {
    expect(shrinkOutcome({ ...facts, ...change }).kind).toBe(kind)
  })

  test('is told with the reason', () => {
    const outcome = shrinkOutcome({ ...facts, log: 'outcome untouched / is in use\n' })
    expect(describeShrink(outcome)).toEqual([
      expect.stringMatching(/^shrink {6}untouched: nothing was changed/),
      '  / is in use',
    ])
  })
})

test('the start after it repairs, and what else is in custom.cfg stays', () => {
  const custom = withRepairEntry('mine', { ...OLD, fsUuid: 'abcd-ef' })
  expect(custom).toContain('--id pine-update-repair {')
  expect(custom).toContain('search --no-floppy --fs-uuid --set=root abcd-ef')
  expect(custom).toContain(
    'linux /boot/vmlinuz-6.1 root=UUID=6f1e0002-0000-4000-8000-000000000000 ro quiet panic=10 fsck.repair=yes',
  )
  expect(withRepairEntry(custom, { ...OLD, fsUuid: 'abcd-ef' })).toBe(custom)
  expect(withoutEntry(custom)).toBe('mine')
  const dir = mkdtempSync(join(tmpdir(), 'pine-grub-'))
  writeFileSync(join(dir, 'cfg'), custom.slice('mine'.length))
  const checked = spawnSync('grub-script-check', [join(dir, 'cfg')], { encoding: 'utf8' })
  rmSync(dir, { recursive: true })
  if (checked.error === undefined) expect(checked.status, checked.stderr).toBe(0)
})

describe('what is put into the shutdown stage', () => {
  test('libraries, as ldd names them', () => {
    const listed = `	linux-vdso.so.1 (0x00007ffd2d3f0000)
	libext2fs.so.2 => /lib/x86_64-linux-gnu/libext2fs.so.2 (0x00007f4e2ba00000)
	/lib64/ld-linux-x86-64.so.2 (0x00007f4e2be00000)
`
    expect(librariesIn(listed)).toEqual([
      '/lib/x86_64-linux-gnu/libext2fs.so.2',
      '/lib64/ld-linux-x86-64.so.2',
    ])
    expect(librariesIn('	statically linked\n')).toEqual([])
  })

  test('no name that the shell would not take literally', () => {
    const plan = decideShrink(EXT4, space(2500), LARGE, PLACE) as ShrinkPlan
    expect(settingsText(plan)).toContain(
      'device=/dev/vda2\nuuid=6f1e0002-0000-4000-8000-000000000000\nfull=2621440\n',
    )
    expect(() => settingsText({ ...plan, device: '/dev/a b' })).toThrow('"/dev/a b"')
  })
})

const reason = withoutBox() ?? withoutShrink()
if (reason !== undefined) console.log(`skipped, ${reason}: arming a shrink`)

describe.skipIf(reason !== undefined)('on a box whose free space is in pieces', () => {
  let box: Box
  let run: string
  afterEach(() => {
    while (spawnSync('umount', ['-q', `${run}/initramfs`]).status === 0);
    box?.close()
    rmSync(run, { recursive: true, force: true })
  })

  /** With pieces of 8 MiB, and a /run of its own. */
  async function open(): Promise<void> {
    box = await makeBox()
    run = mkdtempSync(join(tmpdir(), 'pine-run-'))
    const { host } = box
    const [from, root] = [sourceHost(), rootOf(box.disk)]
    const at = (text: string) => text.replaceAll('/run/initramfs', `${run}/initramfs`)
    const mine: Partial<Host> = {
      exec: (command, args, options) =>
        host.exec(
          command,
          args.map((arg) => (arg === '/' ? box.folder : at(arg))),
          options,
        ),
      openRegion: (path, options) =>
        path === '/dev/vda2' ? host.openRegion(box.disk, root) : host.openRegion(path, options),
      readFile: async (path) => {
        if (path.includes('/dist/system/')) return from.readFile(path)
        const found = await host.readFile(path)
        return path === '/proc/self/mountinfo' ? Buffer.from(String(found).replaceAll(run, '/run')) : found
      },
      replaceFile: (path, content, mode) => host.replaceFile(at(path), content, mode),
    }
    box = { ...box, host: { ...host, ...mine } }
    const free = async () => host.freeBytes('/')
    const names: string[] = []
    for (; (await free()) > 5 * MiB; names.push(`${box.folder}/f${names.length}`))
      await makeFile(`${box.folder}/f${names.length}`, 4 * MiB)
    for (const [index, name] of names.entries()) if (index % 3 !== 0) rmSync(name)
  }

  const PLAN: ShrinkPlan = {
    ...{ device: '/dev/vda2', uuid: 'abcd-ef', blockBytes: 4096, full: 112_640, target: 99_000, keep: 1 },
    ...{ movedBytes: 55 * MiB, minutes: 3 },
  }
  const arm = () => armShrink(box.host, box.carving, PLAN, { old: OLD, fsUuid: 'abcd-ef' })
  const next = async () => variableIn(await box.host.readFile('/boot/grub/grubenv'), 'next_entry')

  test('staging fails, and names the way out', async () => {
    await open()
    await expect(stageOn(box, makeImage(box))).rejects.toMatchObject({
      code: 'CARVE_FAILED',
      message: expect.stringContaining('too scattered'),
      hint: expect.stringContaining('"hijack stage --shrink"'),
    })
    expect(await stageIn(box)).toBe('begun')
  })

  test('armed: a stage that runs, read-only, and a start that repairs; called off: nothing is left', async () => {
    await open()
    const before = filesOf(box.folder)
    expect(await observeShrink(box.host)).toBeUndefined()
    await arm()
    expect(await observeShrink(box.host)).toEqual({ kind: 'waiting', reason: '' })
    expect(await next()).toBe('pine-update-repair')
    expect(spawnSync('chroot', [`${run}/initramfs`, '/shutdown', 'check']).status).toBe(0)
    expect(() => writeFileSync(`${run}/initramfs/shutdown`, 'another')).toThrow('EROFS')
    // Again is the same.
    await arm()
    await disarmShrink(box.host, box.carving)
    expect(await observeShrink(box.host)).toEqual({ kind: 'off', reason: '' })
    expect(await next()).toBeUndefined()
    expect(spawnSync('mountpoint', ['-q', `${run}/initramfs`]).status).not.toBe(0)
    rmSync(`${box.folder}/pine-update`, { recursive: true })
    expect(filesOf(box.folder)).toEqual(before)
  })

  test('a tool that is missing: nothing stays armed', async () => {
    await open()
    const { exec } = box.host
    box.host.exec = async (command, args, options) =>
      args.includes('resize2fs') && command === 'sh' ? '' : exec(command, args, options)
    await expect(arm()).rejects.toMatchObject({ code: 'TOOL_MISSING' })
    expect(await next()).toBeUndefined()
    expect(spawnSync('mountpoint', ['-q', `${run}/initramfs`]).status).not.toBe(0)
  })

  test('a tool that does not start there: nothing stays armed', async () => {
    await open()
    const { exec } = box.host
    box.host.exec = async (command, args, options) =>
      command === 'ldd' && /(fs|fsck)$/.test(args[0] ?? '') ? '' : exec(command, args, options)
    await expect(arm()).rejects.toMatchObject({
      code: 'TOOL_FAILED',
      message: expect.stringContaining('chroot'),
    })
    expect(await next()).toBeUndefined()
    expect(spawnSync('mountpoint', ['-q', `${run}/initramfs`]).status).not.toBe(0)
  })

  test('staging and abort call it off: what is carved must not be moved', async () => {
    await open()
    await stageOn(box, makeImage(box)).catch(() => undefined)
    await arm()
    await stageOn(box, makeImage(box)).catch(() => undefined)
    expect(await observeShrink(box.host)).toMatchObject({ kind: 'off' })
    await arm()
    await abortOn(box)
    expect(await observeShrink(box.host)).toBeUndefined()
    expect(await next()).toBeUndefined()
    expect(spawnSync('mountpoint', ['-q', `${run}/initramfs`]).status).not.toBe(0)
  })

  test('one that was cut off before it was as large again is made up for', async () => {
    await open()
    const done: string[] = []
    const { exec } = box.host
    box.host.exec = async (command, args, options) => {
      if (command !== 'resize2fs') return exec(command, args, options)
      done.push(args.join(' '))
      return ''
    }
    const { blocks } = await readExt4(box.host, '/dev/vda2')
    const record = { bootId: 'another', device: '/dev/vda2', full: blocks + 1000, target: blocks }
    await box.host.exec('mkdir', ['-p', '/pine-update'])
    await box.host.replaceFile('/pine-update/shrink.json', JSON.stringify(record))
    expect(await observeShrink(box.host)).toMatchObject({ kind: 'cut-off' })
    await disarmShrink(box.host, box.carving)
    expect(done).toEqual([`/dev/vda2 ${blocks + 1000}`])
    await box.host.replaceFile('/pine-update/shrink.json', JSON.stringify({ ...record, full: blocks }))
    await disarmShrink(box.host, box.carving)
    expect(done).toHaveLength(1)
  })
})
