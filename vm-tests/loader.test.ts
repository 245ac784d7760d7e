import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AREA } from '../src/boot/bootstate-area.ts'
import { simulateLoader } from '../src/model/loader.ts'
import {
  expectNothing,
  expectPrediction,
  type GrubRun,
  type LoaderBench,
  openLoaderBench,
} from './lib/loader-bench.ts'
import { MBR_PARTS, makeMbrTable, overwriteArea, putImpostor, readArea, wipeArea } from './lib/loader-disk.ts'
import { differences, PARTS, predict } from './lib/prediction.ts'
import { TEST_KERNEL_EXIT } from './lib/test-kernel.ts'
import { caseNamed, LOADER_CASES } from './loader-cases.ts'

let bench: LoaderBench

beforeAll(async () => {
  bench = await openLoaderBench('bios')
})
afterAll(() => bench.close())

describe('real GRUB does what the model says', () => {
  test.concurrent.each(LOADER_CASES)('$name', (loaderCase) =>
    bench.boot(loaderCase, expectPrediction(loaderCase)),
  )
})

describe('the comparison can fail', () => {
  const trial = caseNamed('first try of b')
  const wrongModels: Record<string, typeof simulateLoader> = {
    'one that does not count': (state, canLoad, canSave) => ({
      ...simulateLoader(state, canLoad, canSave),
      after: state,
    }),
    'one that boots the other slot': (state, canLoad) =>
      simulateLoader(state && { ...state, order: 'ab' }, canLoad),
    'one that counts twice': (state, canLoad) =>
      simulateLoader(simulateLoader(state, canLoad).after, canLoad),
  }
  test.each(Object.entries(wrongModels))('%s', (_name, wrong) =>
    bench.boot({ ...trial, name: `wrong model: ${_name}` }, (run) => {
      expect(differences(predict(trial), run)).toEqual([])
      expect(differences(predict(trial, wrong), run)).not.toEqual([])
    }),
  )
})

describe('the loader keeps to its disk and never asks', () => {
  const fresh = caseNamed('a fresh disk')

  test('a second disk with another boot state is not looked at', async () => {
    const other = { ...caseNamed('first try of b'), name: 'second disk' }
    const second = await bench.makeDisk(other)
    const before = readArea(second)
    const extraArgs = ['-drive', `file=${second},format=raw,if=virtio`]
    await bench.boot({ ...fresh, name: 'first disk' }, expectPrediction(fresh), { extraArgs })
    expect(readArea(second).equals(before)).toBe(true)
  })

  test('without a bootstate partition it waits and starts over, whatever the second disk says', async () => {
    const second = await bench.makeDisk({ ...fresh, name: 'second disk, whole' })
    const wiped = { ...fresh, name: 'no bootstate' }
    const extraArgs = ['-drive', `file=${second},format=raw,if=virtio`]
    await bench.boot(wiped, expectNothing('no bootstate partition on hd0; next attempt in 1 s'), {
      prepare: wipeArea,
      extraArgs,
    })
  })

  test('a file system that looks like one is not taken for the bootstate partition', async () => {
    const impostor = { ...fresh, name: 'impostor' }
    const prepare = async (disk: string) => {
      await wipeArea(disk)
      await putImpostor(bench.kit, disk)
    }
    await bench.boot(impostor, expectNothing('no bootstate partition on hd0'), { prepare })
  })

  test.each(['if [', 'nonsense', '', 'return', 'normal_exit'])(
    'a script of %j ends in a reboot, not at a prompt',
    (script) => {
      const broken = { ...fresh, name: `script ${script}` }
      const bytes = Buffer.alloc(AREA['grub.cfg'].bytes, '#')
      bytes.write(`${script}\n`)
      const prepare = (disk: string) => overwriteArea(disk, 'grub.cfg', bytes)
      return bench.boot(broken, expectNothing('next attempt in 1 s'), { prepare })
    },
  )

  test('a machine without a serial port boots as well', () => {
    const silent = { ...fresh, name: 'no serial port' }
    const { env0 } = predict(silent)
    const check = (run: GrubRun) => {
      expect(run.exitCode).toBe(TEST_KERNEL_EXIT)
      expect(run.env0.equals(env0)).toBe(true)
    }
    return bench.boot(silent, check, { hasSerial: false })
  })

  test('a disk with an MBR partition table boots as well', () => {
    const mbr = { ...fresh, name: 'mbr' }
    const predicted = predict(mbr)
    const cmdline = predicted.cmdline?.replace(PARTS.a.part, MBR_PARTS.a) ?? null
    const check = (run: GrubRun) => expect(differences({ ...predicted, cmdline }, run)).toEqual([])
    return bench.boot(mbr, check, { prepare: makeMbrTable })
  })
})
