import { writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AREA } from '../src/boot/bootstate-area.ts'
import { readBootState } from '../src/boot/grub-state.ts'
import { buildDisk } from '../src/build/disk.ts'
import { realHost } from '../src/host/real-host.ts'
import type { Layout } from '../src/model/layout.ts'
import {
  expectNothing,
  expectPrediction,
  type LoaderBench,
  openLoaderBench,
  readCopies,
} from './lib/loader-bench.ts'
import { cutEsp, overwriteArea, readArea, wipeArea } from './lib/loader-disk.ts'
import { differences, predict } from './lib/prediction.ts'
import { runVm, startVm, type VmOptions } from './lib/qemu.ts'
import { parseKernelReport, TEST_KERNEL_DEVICE, TEST_KERNEL_EXIT } from './lib/test-kernel.ts'
import { caseNamed, LOADER_CASES } from './loader-cases.ts'

let bench: LoaderBench

beforeAll(async () => {
  bench = await openLoaderBench('uefi')
})
afterAll(() => bench.close())

/** The script is the same for both firmwares; these reach every part of it that touches the disk or loads something. */
const SELECTED = [
  'first try of b',
  'b has no try left',
  'next is r',
  'spent: a good slot is given one more try',
  'spent: no good slot, never a half-written one',
  'no initrd in b',
  'the kernel of b cannot be read to its end',
  'b has a compression that the loader cannot read',
  'squashfs with xz',
  'read-only: a good slot',
  'read-only: a trial would be endless',
  'env0 is zeros',
  'env0 torn at byte 71',
  'both destroyed',
]
const cases = process.env.PINE_LOADER_CASES === 'all' ? LOADER_CASES : SELECTED.map(caseNamed)

describe(`GRUB for UEFI does what the model says: ${cases.length} of ${LOADER_CASES.length} cases, all with PINE_LOADER_CASES=all`, () => {
  test.concurrent.each(cases)('$name', (loaderCase) => bench.boot(loaderCase, expectPrediction(loaderCase)))
})

test('the comparison can fail', () => {
  const trial = caseNamed('last try of b')
  return bench.boot(trial, (run) => {
    expect(differences(predict(trial), run)).toEqual([])
    expect(differences(predict(caseNamed('first try of b')), run)).not.toEqual([])
  })
})

describe('the loader keeps to its disk and never asks', () => {
  const fresh = caseNamed('a fresh disk')

  test('another disk before its own, with another boot state, is not looked at', async () => {
    const first = await bench.makeDisk({ ...caseNamed('first try of b'), name: 'before' })
    // The firmware looks at both disks, and starts the one that has something to start.
    await cutEsp(first)
    const before = readArea(first)
    const second = await bench.makeDisk(fresh)
    const run = await bench.run(first, { extraArgs: ['-drive', `file=${second},format=raw,if=virtio`] })
    expectPrediction(fresh, 'hd1')({ ...run, ...readCopies(second) })
    expect(readArea(first).equals(before)).toBe(true)
  })

  test('without a bootstate partition it waits and starts over, whatever the second disk says', async () => {
    const second = await bench.makeDisk({ ...fresh, name: 'second disk, whole' })
    await bench.boot(
      { ...fresh, name: 'no bootstate' },
      expectNothing('no bootstate partition on hd0; next'),
      {
        prepare: wipeArea,
        extraArgs: ['-drive', `file=${second},format=raw,if=virtio`],
      },
    )
  })

  test.concurrent.each(['if [', 'normal_exit'])(
    'a script of %j ends in a reboot, not at a prompt',
    (script) => {
      const bytes = Buffer.alloc(AREA['grub.cfg'].bytes, '#')
      bytes.write(`${script}\n`)
      const prepare = (disk: string) => overwriteArea(disk, 'grub.cfg', bytes)
      return bench.boot({ ...fresh, name: `script ${script}` }, expectNothing('next attempt in 1 s'), {
        prepare,
      })
    },
  )
})

describe('a disk of the command, with the layout we ship', () => {
  const host = realHost()
  let layout: Layout
  let disk: string
  const machine = (name: string): VmOptions => ({
    disk,
    firmware: 'uefi',
    memoryMiB: 128,
    serialLog: bench.path(`${name}.serial`),
    extraArgs: TEST_KERNEL_DEVICE,
  })

  beforeAll(async () => {
    disk = bench.path('built.disk')
    const image = bench.path('image')
    writeFileSync(image, bench.kit.contents['squashfs-gzip'])
    const script = join(import.meta.dirname, '../layouts/gpt-uefi.sfdisk')
    await host.createSparse(disk, 3 * 1024 ** 3)
    const identity = { compatible: 'test', version: '1.0', epoch: 0, append: '' }
    const request = {
      layout: await readFile(script, 'utf8'),
      origin: { image },
      workDir: dirname(disk),
      target: disk,
      diskBytes: 3 * 1024 ** 3,
    }
    layout = await buildDisk(host, { ...request, ...identity }, () => undefined)
  })

  test('boots slot a, counted', async () => {
    const { output, exitCode } = await runVm(machine('built'), 120_000)
    expect(exitCode).toBe(TEST_KERNEL_EXIT)
    const cmdline = parseKernelReport(output)?.cmdline
    expect(cmdline).toContain(`root=PARTUUID=${layout.partitions['rootfs-a'].uuid} ro`)
    expect(cmdline).toContain('pine.slot=a')
    const { offset, bytes } = layout.partitions.bootstate
    const bootstate = await host.openRegion(disk, { offset, bytes })
    expect((await readBootState(bootstate)).state).toMatchObject({ last: 'a', slots: { a: { left: 2 } } })
    await bootstate.close()
  })

  test('that was cut off before its last write is none that the firmware would start', async () => {
    const region = await host.openRegion(disk, { writable: true })
    await region.write(Buffer.alloc(512), layout.partitions.esp?.offset ?? 0)
    await region.close()
    const vm = startVm(machine('cut'))
    try {
      await vm.expect(/UEFI Interactive Shell|No bootable option/, 120_000)
      expect(vm.output()).not.toContain('GRUB')
    } finally {
      await vm.kill()
    }
  })
})
