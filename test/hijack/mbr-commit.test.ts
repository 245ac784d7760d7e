import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { observeTakeover } from '../../src/hijack/observe.ts'
import { readTable } from '../../src/host/sfdisk.ts'
import { parseLayout } from '../../src/model/layout.ts'
import { observe, withMachine } from '../../src/run/machine.ts'
import { aroundRoot, type Box, hasMbr, rootOf, tableIdOf, WITH_MBR, withoutBox } from './box.ts'
import { filesOf, run } from './box-files.ts'
import { DEVICE } from './box-host.ts'
import { onDisk } from './cuts.ts'
import { endsOf, parse, readAt, SECTOR, sfdiskTable } from './gpt-disk.ts'
import { makeRehearsed, readBoot, readByGrub } from './rehearsing.ts'
import { abortOn, commitOn, journalIn, OLD, stageIn } from './takeover-steps.ts'

const reason = withoutBox()
if (reason !== undefined) console.log(`skipped, ${reason}: commit on a disk with an MBR`)

let box: Box
afterEach(() => box?.close())

const NOW = { ...OLD, part: 'gpt6' }
const placesIn = (disk: string) =>
  sfdiskTable(disk).partitions.map(({ node, start, size }) => [Number(node.slice(disk.length)), start, size])

/** Debian's cloud images: one partition, without a flag, up to where growpart(1) has it end. */
const ONE = `label: dos
start=2048, size=${512 * 2048 - 33 - 2048}, type=83
`

describe.skipIf(reason !== undefined)('commit on a disk with an MBR', () => {
  test('makes it a GPT in which every partition has the number and the place that it had', async () => {
    box = await makeRehearsed(WITH_MBR)
    const before = placesIn(box.disk)
    expect(before.map(([number]) => number)).toEqual([1, 2, 5, 6])
    await commitOn(box, NOW)
    expect(await stageIn(box)).toBe('committed')
    const after = placesIn(box.disk)
    // The extended one was only room for others; its number is that of the loaders now.
    for (const place of before.filter(([number]) => number !== 2)) expect(after).toContainEqual(place)
    const layout = parseLayout(await readTable(box.host, DEVICE), DEVICE)
    const { number, offset, bytes } = rootOf(box.disk)
    expect(layout.old).toMatchObject({ number, offset, bytes })
    expect(number).toBe(6)
    const { parts } = await journalIn(box)
    expect(parts.map((part) => part.number)).toEqual([3, 4, 7, 8, 9])
    for (const { name, ...part } of parts)
      expect(layout.partitions[name]).toEqual({
        ...{ role: name, number: part.number, offset: part.offset, bytes: part.bytes, uuid: part.uuid },
      })
    expect(layout.partitions['bios-boot']).toMatchObject({ number: 2, offset: 72 * SECTOR })
    const facts = await withMachine(box.host, { disk: DEVICE, writable: false }, observe)
    expect(facts.takeover).toEqual({ stage: 'committed', isFirst: true })
    expect(run('sfdisk', ['--list-free', box.disk])).toContain('Unpartitioned space')
  })

  test('lets GRUB find both systems', async () => {
    box = await makeRehearsed(WITH_MBR)
    writeFileSync(join(box.folder, 'boot/vmlinuz-6.2'), 'installed today')
    run('sync', [join(box.folder, 'boot/vmlinuz-6.2')])
    await commitOn(box, { ...NOW, kernel: '/boot/vmlinuz-6.2' })
    expect(readBoot(box.disk, 'vmlinuz-6.2').toString()).toBe('installed today')
    const bootstate = parse(endsOf(box.disk)).entries.find(({ name }) => name === 'bootstate')
    expect(readByGrub(box.disk, '/grub.cfg', bootstate?.number).toString()).toContain('set part="gpt6"')
  })

  test('is undone to the last bit, also where the root goes to the end of the disk', async () => {
    box = await makeRehearsed(ONE)
    const [around, id] = [aroundRoot(box.disk), tableIdOf(box.disk)]
    expect(id).toMatch(/^[0-9a-f]{8}$/)
    expect((await journalIn(box)).disk.tableId).toBe(id)
    // As initramfs-rehearse looks for it.
    expect(run('blkid', ['-p', '-s', 'PTUUID', '-o', 'value', box.disk]).trim()).toBe(id)
    await commitOn(box, OLD)
    expect(hasMbr(box.disk)).toBe(false)
    expect(rootOf(box.disk).number).toBe(1)
    await abortOn(box)
    expect(aroundRoot(box.disk).equals(around)).toBe(true)
    expect(filesOf(box.folder)['pine-update']).toBeUndefined()
  })

  test('is not done while only the old loader has moved', async () => {
    box = await makeRehearsed(WITH_MBR)
    const before = readAt(box.disk, 0, SECTOR)
    const died = new Error('no power')
    let flips = 0
    const dying = onDisk(box, (region) => ({
      ...region,
      write: (from, at) => (at === 0 && ++flips === 2 ? Promise.reject(died) : region.write(from, at)),
    }))
    await expect(commitOn(dying, NOW)).rejects.toBe(died)
    expect(readAt(box.disk, 0, SECTOR).equals(before)).toBe(false)
    expect((await observeTakeover(box.host))?.isFlipped).toBe(false)
    expect(await stageIn(box)).toBe('rehearsed')
  })
})
