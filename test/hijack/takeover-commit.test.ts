import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { findBackend } from '../../src/boot/backend.ts'
import { embedCore } from '../../src/boot/grub-core.ts'
import { coreInUse } from '../../src/hijack/boot-sector.ts'
import { openOnDisk, partOf } from '../../src/hijack/content.ts'
import { readTable } from '../../src/host/sfdisk.ts'
import { type BootState, type BootTarget, confirm } from '../../src/model/boot-state.ts'
import { parseLayout } from '../../src/model/layout.ts'
import { simulateLoader } from '../../src/model/loader.ts'
import { observe, withMachine } from '../../src/run/machine.ts'
import { noise } from '../support/cli.ts'
import { aroundRoot, type Box, CORE_LBA, rootOf, WITH_BOOT, withoutBox } from './box.ts'
import { run } from './box-files.ts'
import { DEVICE } from './box-host.ts'
import { onDisk } from './cuts.ts'
import { readAt, SECTOR } from './gpt-disk.ts'
import { makeRehearsed, readBoot, readByGrub } from './rehearsing.ts'
import { abortOn, commitOn, journalIn, OLD, stageIn } from './takeover-steps.ts'

const reason = withoutBox()
if (reason !== undefined) console.log(`skipped, ${reason}: commit on a real disk`)

let box: Box
afterEach(() => box?.close())

const sectors = async (lba: number, count: number) => readAt(box.disk, lba * SECTOR, count * SECTOR)
const coreOf = (coreLba: number, core = box.loaders.ours) =>
  embedCore(core, { coreLba, availableBytes: core.core.length })

async function bootState(): Promise<BootState> {
  const region = await openOnDisk(box.host, await journalIn(box), 'bootstate')
  return findBackend(region)
    .then((loader) => loader.read(region))
    .finally(() => region.close())
}

/** What our loader starts, one time after the other, where nobody says anything. */
function starts(from: BootState, count: number): (BootTarget | null)[] {
  let state: BootState | undefined = from
  return Array.from({ length: count }, () => {
    const { pick, after } = simulateLoader(state, () => true)
    state = after
    return pick
  })
}

/** As a package manager: what it wrote is in the journal of the file system at least. */
function writeDurably(path: string, content: string): void {
  writeFileSync(path, content)
  run('sync', [path])
}

describe.skipIf(reason !== undefined)('commit', () => {
  test('adds the new partitions to a table that still has the old root', async () => {
    box = await makeRehearsed()
    const { offset, bytes } = rootOf(box.disk)
    await commitOn(box)
    expect(await stageIn(box)).toBe('committed')
    const layout = parseLayout(await readTable(box.host, DEVICE), DEVICE)
    expect(layout.old).toMatchObject({ number: 2, offset, bytes })
    const { parts } = await journalIn(box)
    for (const { name, number, uuid, offset, bytes } of parts)
      expect(layout.partitions[name]).toEqual({ role: name, number, offset, bytes, uuid })
    expect(layout.partitions['bios-boot']?.number).toBe(1)
    const facts = await withMachine(box.host, { disk: DEVICE, writable: false }, observe)
    expect(facts.takeover).toEqual({ stage: 'committed', isFirst: true })
  })

  test('puts our loader beside the old one, of which no sector changes', async () => {
    box = await makeRehearsed()
    const oldCore = coreOf(CORE_LBA, box.loaders.old).core
    const mbr = readAt(box.disk, 440, 72)
    await commitOn(box)
    const sector = readAt(box.disk, 0, SECTOR)
    const [first] = await coreInUse(sector, sectors)
    const ours = coreOf(first?.lba ?? 0)
    expect(sector.equals(Buffer.concat([ours.bootCode, mbr]))).toBe(true)
    expect(readAt(box.disk, (first?.lba ?? 0) * SECTOR, ours.core.length).equals(ours.core)).toBe(true)
    expect(readAt(box.disk, CORE_LBA * SECTOR, oldCore.length).equals(oldCore)).toBe(true)
  })

  test('lets GRUB find both systems, and the script that chooses', async () => {
    box = await makeRehearsed()
    writeDurably(join(box.folder, 'boot/vmlinuz-6.2'), 'installed today')
    await commitOn(box, { ...OLD, kernel: '/boot/vmlinuz-6.2' })
    const { parts } = await journalIn(box)
    const numberOf = (role: Parameters<typeof partOf>[1]) => partOf({ parts }, role).number
    expect(readByGrub(box.disk, '/boot/vmlinuz', numberOf('rootfs-a')).equals(noise(300_000, 1))).toBe(true)
    expect(readBoot(box.disk, 'vmlinuz-6.2').toString()).toBe('installed today')
    const script = join(box.disk, '../grub.cfg')
    writeFileSync(script, readByGrub(box.disk, '/grub.cfg', numberOf('bootstate')))
    run('grub-script-check', [script])
    const text = readByGrub(box.disk, '/grub.cfg', numberOf('bootstate')).toString()
    // Of the old system as it is today, not as it was when the new one was staged.
    for (const line of ['set part="gpt2"', 'set kernel="/boot/vmlinuz-6.2"', OLD.arguments])
      expect(text).toContain(line)
    expect(text).toContain(`set part="gpt${numberOf('rootfs-a')}"`)
  })

  test('lets GRUB find the old kernel in a /boot of its own', async () => {
    box = await makeRehearsed(WITH_BOOT)
    writeDurably(join(box.folder, 'boot/vmlinuz-6.2'), 'installed today')
    await commitOn(box, { ...OLD, part: 'gpt3', kernel: '/vmlinuz-6.2', initrd: '/initrd.img-6.1' })
    expect(readBoot(box.disk, 'vmlinuz-6.2').toString()).toBe('installed today')
  })

  test('starts the new system three times, then the old one for good; confirmed it stays', async () => {
    box = await makeRehearsed()
    await commitOn(box)
    const state = await bootState()
    expect(starts(state, 5)).toEqual(['a', 'a', 'a', 'r', 'r'])
    expect(starts(confirm(state, 'a'), 2)).toEqual(['a', 'a'])
    // With the /etc that it had in its rehearsal.
    expect(state.slots.a.generation).toBe(1)
  })

  test('of a file that was moved is refused, and nothing is written', async () => {
    box = await makeRehearsed()
    const before = aroundRoot(box.disk)
    const state = await bootState()
    await box.carving.setImmutable('/pine-update/carved', false)
    const path = join(box.folder, 'pine-update/carved')
    run('cp', ['--sparse=always', path, `${path}.copy`])
    renameSync(`${path}.copy`, path)
    await expect(commitOn(box)).rejects.toMatchObject({ code: 'CARVE_FAILED' })
    expect(aroundRoot(box.disk).equals(before)).toBe(true)
    expect(await bootState()).toEqual(state)
  })

  test('on a disk that loses what is written stops before anything reads it', async () => {
    box = await makeRehearsed()
    const before = aroundRoot(box.disk)
    const losing = onDisk(box, (region) => ({
      ...region,
      write: async (from, at) => (from.length > 100_000 ? undefined : region.write(from, at)),
    }))
    await expect(commitOn(losing)).rejects.toMatchObject({ code: 'IO_FAILED' })
    // The boot sector and the table that is read.
    expect(readAt(box.disk, 0, 2 * SECTOR).equals(before.subarray(0, 2 * SECTOR))).toBe(true)
    expect(await stageIn(box)).toBe('rehearsed')
    await abortOn(box)
    expect(aroundRoot(box.disk).equals(before)).toBe(true)
  })
})
