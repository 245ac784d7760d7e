import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { ENTRY_ID, variableIn } from '../../src/hijack/grub-once.ts'
import { observeTakeover } from '../../src/hijack/observe.ts'
import { failureOf } from '../../src/hijack/takeover-state.ts'
import { planConfirm, planVerdict } from '../../src/plan/verdict.ts'
import { aroundRoot, type Box, makeBox, withoutBox } from './box.ts'
import { CUSTOM, run } from './box-files.ts'
import { readByGrub, rehearse, startRehearsal } from './rehearsing.ts'
import { armOn, CAPTURED, journalIn, makeImage, stageIn, stageOn } from './takeover-steps.ts'

const reason = withoutBox()
if (reason !== undefined) console.log(`skipped, ${reason}: rehearsals on a real disk`)

const now = new Date('2026-05-01T00:00:00Z')
const good = { healthy: true, reason: '' }
const bad = { healthy: false, reason: 'web: no answer' }

let box: Box
afterEach(() => box?.close())

async function openStaged(): Promise<string> {
  box = await makeBox()
  const image = makeImage(box)
  await stageOn(box, image)
  return image
}

const grubFile = (name: string) => join(box.folder, 'boot/grub', name)

describe.skipIf(reason !== undefined)('GRUB, which reads the disk and no journal of it', () => {
  test('is asked for our entry, and finds all that the entry names', async () => {
    const image = await openStaged()
    const before = aroundRoot(box.disk)
    await armOn(box)
    expect(await stageIn(box)).toBe('armed')
    expect(aroundRoot(box.disk).equals(before)).toBe(true)

    const block = readByGrub(box.disk, '/boot/grub/grubenv')
    expect(variableIn(block, 'next_entry')).toBe(ENTRY_ID)
    expect(variableIn(block, 'saved_entry')).toBe('gnulinux-simple')
    const custom = readByGrub(box.disk, '/boot/grub/custom.cfg').toString('latin1')
    expect(custom.startsWith(CUSTOM.toString('latin1'))).toBe(true)
    writeFileSync(join(box.disk, '../custom.cfg'), custom)
    run('grub-script-check', [join(box.disk, '../custom.cfg')])

    const [, place] = /loopback pine \(\$root\)(\S+)\n/.exec(custom) ?? []
    const slot = execFileSync('grub-fstest', [box.disk, 'cat', `(loop0,gpt2)${place}`], {
      maxBuffer: 2 ** 28,
    })
    const content = readFileSync(image)
    expect(slot.subarray(0, content.length).equals(content)).toBe(true)
    const [, captured = ''] = /initrd \S+ \(\$root\)(\S+)\n/.exec(custom) ?? []
    expect(readByGrub(box.disk, captured).equals(CAPTURED)).toBe(true)
    const [, uuid = ''] = /--set=root (\S+)\n/.exec(custom) ?? []
    expect(uuid).toBe((await journalIn(box)).root.fsUuid)
  })

  test('would find nothing where the file system had not come to rest', async () => {
    await openStaged()
    const settleFileSystem = async () => undefined
    await armOn({ ...box, carving: { ...box.carving, settleFileSystem } })
    expect(readByGrub(box.disk, '/boot/grub/grubenv').includes(ENTRY_ID)).toBe(false)
  })
})

describe.skipIf(reason !== undefined)('a rehearsal', () => {
  test('with which somebody is content is told to the old system', async () => {
    await openStaged()
    await armOn(box)
    expect(await rehearse(box, (facts) => planVerdict(facts, good, now))).toEqual([])
    expect(await stageIn(box)).toBe('silent')
    await armOn(box)
    expect(await rehearse(box, planConfirm)).toEqual(['reboot --no-block'])
    expect(await stageIn(box)).toBe('rehearsed')
  })

  test('without anybody decides by its health checks, where it was told so', async () => {
    await openStaged()
    await armOn(box, { unattended: true, deadline: 90 })
    expect(readFileSync(grubFile('custom.cfg'), 'utf8')).toContain(' pine.deadline=90 pine.unattended=1 ')
    expect(await rehearse(box, (facts) => planVerdict(facts, good, now))).toHaveLength(1)
    expect(await stageIn(box)).toBe('rehearsed')
  })

  test('that gives itself up says why, and there may be another one', async () => {
    await openStaged()
    await armOn(box)
    expect(await rehearse(box, (facts) => planVerdict(facts, bad, now))).toHaveLength(1)
    expect(await stageIn(box)).toBe('failed')
    const takeover = await observeTakeover(box.host)
    expect(takeover && failureOf(takeover)).toBe('web: no answer')
    await armOn(box)
    expect(await stageIn(box)).toBe('armed')
    startRehearsal(box)
    // What an earlier one had said is forgotten.
    expect(await stageIn(box)).toBe('silent')
    await armOn(box)
    await rehearse(box, planConfirm)
    expect(await stageIn(box)).toBe('rehearsed')
  })

  test('that never says anything is silent: GRUB has forgotten it, and starts the old system', async () => {
    await openStaged()
    await armOn(box)
    startRehearsal(box)
    expect(await stageIn(box)).toBe('silent')
  })

  test('knows of no earlier one: a good verdict of yesterday does not count', async () => {
    await openStaged()
    await armOn(box)
    await rehearse(box, planConfirm)
    await armOn(box)
    startRehearsal(box)
    expect(await stageIn(box)).toBe('silent')
  })
})
