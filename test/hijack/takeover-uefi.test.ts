import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { findBackend } from '../../src/boot/backend.ts'
import { openOnDisk } from '../../src/hijack/content.ts'
import { loaderPartition } from '../../src/hijack/disk-table.ts'
import { observeTakeover } from '../../src/hijack/observe.ts'
import { failureOf } from '../../src/hijack/takeover-state.ts'
import type { Host } from '../../src/host/host.ts'
import { readTable } from '../../src/host/sfdisk.ts'
import { type BootState, reject, startOnce } from '../../src/model/boot-state.ts'
import { parseLayout } from '../../src/model/layout.ts'
import { simulateLoader } from '../../src/model/loader.ts'
import { bootDisk } from '../support/boot-disk.ts'
import { aroundRoot, withoutBox } from './box.ts'
import { digest, filesOf } from './box-files.ts'
import { DEVICE } from './box-host.ts'
import { endsOf, parse, readAt } from './gpt-disk.ts'
import { becomeRehearsed } from './rehearsing.ts'
import { abortOn, commitOn, journalIn, type Machine, stageIn } from './takeover-steps.ts'
import { makeUefiBox, OUR_GRUB, setVariable, startFirmware, type UefiBox, variablesOf } from './uefi-box.ts'

const reason = withoutBox()
if (reason !== undefined) console.log(`skipped, ${reason}: takeovers of machines with UEFI`)

let box: UefiBox
afterEach(() => box?.close())

interface Original {
  /** A digest of all that is not the old root. */
  disk: string
  files: ReturnType<typeof filesOf>
  variables: ReturnType<typeof variablesOf>
}

const around = () => digest(aroundRoot(box.disk))

function now(): Original {
  return { disk: around(), files: filesOf(box.folder), variables: variablesOf(box) }
}

/** A box whose new system came through its rehearsal, and what was there before. */
async function open(): Promise<Original> {
  box = await makeUefiBox()
  const original = now()
  await becomeRehearsed(box)
  return original
}

async function changeBoot(change: (state: BootState) => BootState): Promise<BootState> {
  const region = await openOnDisk(box.host, await journalIn(box), 'bootstate', true)
  try {
    return await (await findBackend(region)).change(region, change)
  } finally {
    await region.close()
  }
}

async function bootState(): Promise<BootState> {
  const region = await openOnDisk(box.host, await journalIn(box), 'bootstate')
  return findBackend(region)
    .then((loader) => loader.read(region))
    .finally(() => region.close())
}

/** Our GRUB notes its try, and starts slot a. */
const startSlot = () => bootDisk(box.host, DEVICE)

const reasonNow = async () => {
  const facts = await observeTakeover(box.host)
  return facts && failureOf(facts)
}

function failing(change: Partial<Host>): Machine {
  return { ...box, host: { ...box.host, ...change } }
}

/** /boot/efi is a folder of the root then. */
function unmounted(): Machine {
  const readFile: Host['readFile'] = async (path) =>
    path === '/proc/self/mountinfo' ? readFileSync(path) : box.host.readFile(path)
  return failing({ readFile })
}

describe.skipIf(reason !== undefined)('commit on UEFI, with a folder in place of its variables', () => {
  test('adds our loader, and gives it one start', async () => {
    const { variables } = await open()
    expect(await stageIn(box)).toBe('rehearsed')
    expect(variablesOf(box)).toEqual(variables)
    await commitOn(box)
    expect(await stageIn(box)).toBe('committed')
    expect(readFileSync(join(box.esp, 'EFI/pine-update/grubx64.efi')).equals(OUR_GRUB)).toBe(true)
    const { Boot0002, BootNext, ...others } = variablesOf(box)
    expect(others).toEqual(variables)
    expect(BootNext).toBe('070000000200')
    expect(Boot0002).toMatch(/^0700000001000000/)
    expect(startFirmware(box)).toBe('pine-update')
    expect(startFirmware(box)).toBe('debian')
  })

  test('makes the old EFI system partition that of the new system, and has no sector of BIOS', async () => {
    await open()
    const sector = readAt(box.disk, 0, 512)
    await commitOn(box)
    const layout = parseLayout(await readTable(box.host, DEVICE), DEVICE)
    expect(layout.partitions.esp).toMatchObject({ number: 1, uuid: box.uuid })
    expect(layout.old).toMatchObject({ number: 2 })
    expect(readAt(box.disk, 0, 512).equals(sector)).toBe(true)
  })

  test('whose one start was used is told with the reason, and can be made again', async () => {
    const { variables } = await open()
    await commitOn(box)
    startFirmware(box)
    expect(await stageIn(box)).toBe('returned')
    expect(await reasonNow()).toContain('did not come as far as the new system')
    await startSlot()
    expect(await reasonNow()).toBe('it was started once, and gave no verdict')
    await changeBoot((state) => reject(state, 'a'))
    expect(await stageIn(box)).toBe('returned')
    await commitOn(box)
    expect(await stageIn(box)).toBe('committed')
    // Not one more each time.
    expect(Object.keys(variablesOf(box))).toEqual([...Object.keys(variables), 'Boot0002', 'BootNext'].sort())
    expect((await bootState()).slots.a).toMatchObject({ confirmed: false, left: 3 })
  })

  test('made again starts the new system, although somebody there had asked for the old one', async () => {
    await open()
    await commitOn(box)
    startFirmware(box)
    await changeBoot((state) => startOnce(state, 'r'))
    await commitOn(box)
    expect(simulateLoader(await bootState(), () => true).pick).toBe('a')
  })

  test('with its partition not mounted is refused before anything is written', async () => {
    await open()
    const before = now()
    await expect(commitOn(unmounted())).rejects.toMatchObject({
      code: 'TAKEOVER_REFUSED',
      message: expect.stringContaining('is not mounted at /boot/efi'),
    })
    expect(now()).toEqual(before)
  })

  test('with firmware that keeps nothing stops, and the old system starts', async () => {
    const original = await open()
    const forgetful = failing({ writeVariable: async () => undefined })
    await expect(commitOn(forgetful)).rejects.toMatchObject({ code: 'IO_FAILED' })
    expect(startFirmware(box)).toBe('debian')
    expect(await stageIn(box)).toBe('rehearsed')
    await abortOn(box)
    expect(filesOf(box.folder)).toEqual(original.files)
    expect(around()).toBe(original.disk)
  })

  test('on a partition that loses our loader stops before the firmware is told of it', async () => {
    const { variables } = await open()
    const losing = failing({
      replaceFile: (path, content, mode) =>
        box.host.replaceFile(path, path.endsWith('.efi') ? content.slice(0, 1000) : content, mode),
    })
    await expect(commitOn(losing)).rejects.toMatchObject({ code: 'IO_FAILED' })
    expect(variablesOf(box)).toEqual(variables)
    expect(await stageIn(box)).toBe('rehearsed')
  })

  test('finds its partition by its GUID, not by being the first of its kind', async () => {
    await open()
    const table = parse(endsOf(box.disk))
    const efi = { uuid: '00000000-0000-4000-8000-000000000000', at: '/boot/efi', nextBefore: null }
    expect(loaderPartition(table, { efi }).entry).toBeUndefined()
    expect(loaderPartition(table, { efi: { ...efi, uuid: box.uuid } }).entry?.number).toBe(1)
  })
})

describe.skipIf(reason !== undefined)('abort on UEFI, with a folder in place of its variables', () => {
  const LATER: [string, () => unknown][] = [
    ['what was only committed', () => undefined],
    ['what had its one start', () => startFirmware(box)],
    ['what is confirmed', () => setVariable(box, 'BootOrder', Buffer.from([2, 0, 1, 0, 0, 0]))],
  ]

  test.each(LATER)('of %s leaves the firmware, the disk and all files as they were', async (_, later) => {
    const original = await open()
    await commitOn(box)
    const { BootCurrent } = variablesOf(box)
    await later()
    setVariable(box, 'BootCurrent', Buffer.from(BootCurrent?.slice(8) ?? '', 'hex'))
    await abortOn(box)
    const left = now()
    expect(left.variables).toEqual(original.variables)
    expect(left.files).toEqual(original.files)
    expect(left.disk).toBe(original.disk)
    expect(await stageIn(box)).toBeUndefined()
  })

  test('puts back the one-shot that commit had found', async () => {
    box = await makeUefiBox()
    setVariable(box, 'BootNext', Buffer.from([0, 0]))
    const original = now()
    await becomeRehearsed(box)
    await commitOn(box)
    expect(variablesOf(box).BootNext).toBe('070000000200')
    await abortOn(box)
    expect(variablesOf(box)).toEqual(original.variables)
  })

  test('where the partition is not mounted does nothing, and says so', async () => {
    await open()
    await commitOn(box)
    const before = now()
    await expect(abortOn(unmounted())).rejects.toMatchObject({ code: 'TAKEOVER_REFUSED' })
    expect(now()).toEqual(before)
  })

  test('before commit touches nothing of the firmware', async () => {
    const original = await open()
    const untouched = failing({
      writeVariable: () => Promise.reject(new Error('written')),
      removeVariable: () => Promise.reject(new Error('removed')),
    })
    await abortOn(untouched)
    expect(now()).toEqual(original)
  })
})

test.skipIf(reason !== undefined)(
  'an option of ours that another takeover left goes with that of this one',
  async () => {
    const original = await open()
    await commitOn(box)
    const { Boot0002 } = variablesOf(box)
    await abortOn(box)
    setVariable(box, 'Boot0002', Buffer.from(Boot0002?.slice(8) ?? '', 'hex'))
    await becomeRehearsed(box)
    expect(await stageIn(box)).toBe('rehearsed')
    rmSync(join(box.esp, 'EFI/pine-update'), { recursive: true, force: true })
    await commitOn(box)
    expect(startFirmware(box)).toBe('pine-update')
    await abortOn(box)
    expect(Object.keys(variablesOf(box))).toEqual(Object.keys(original.variables))
    expect(existsSync(join(box.esp, 'EFI/pine-update'))).toBe(false)
  },
)
