import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AREA } from '../src/boot/bootstate-area.ts'
import { simulateLoader } from '../src/model/loader.ts'
import {
  buildLoaderKit,
  type LoaderKit,
  MBR_PARTS,
  makeCaseDisk,
  makeMbrTable,
  overwriteArea,
  putImpostor,
  readArea,
  wipeArea,
} from './lib/loader-disk.ts'
import { type Boot, differences, PARTS, predict } from './lib/prediction.ts'
import { runVm } from './lib/qemu.ts'
import { parseKernelReport, TEST_KERNEL_DEVICE, TEST_KERNEL_EXIT } from './lib/test-kernel.ts'
import { LOADER_CASES, type LoaderCase } from './loader-cases.ts'

const BOOT_TIMEOUT_MS = 30_000
const dir = mkdtempSync(join(tmpdir(), 'pine-loader-'))
let kit: LoaderKit
let failures = 0

beforeAll(async () => {
  kit = await buildLoaderKit(dir)
})
afterAll(() => {
  if (failures === 0) rmSync(dir, { recursive: true })
})

let started = 0

/** Paths of a case's disk and serial log; numbered, since names can differ in punctuation alone. */
function filesOf({ name }: LoaderCase): { disk: string; serialLog: string } {
  const stem = join(dir, `${++started}-${name.replaceAll(/[^A-Za-z0-9]+/g, '-')}`)
  return { disk: `${stem}.disk`, serialLog: `${stem}.serial` }
}

interface Machine {
  /** Puts further things on the disk before it starts. */
  prepare?: (disk: string) => Promise<void>
  extraArgs?: readonly string[]
  hasSerial?: boolean
}

interface GrubRun extends Boot {
  exitCode: number | null
  output: string
}

/** Boots the disk of a case in qemu with real GRUB; prints where the serial log is when `check` throws. */
async function bootCase(
  loaderCase: LoaderCase,
  check: (run: GrubRun) => void,
  machine: Machine = {},
): Promise<void> {
  const { disk, serialLog } = filesOf(loaderCase)
  await makeCaseDisk(kit, loaderCase, disk)
  await machine.prepare?.(disk)
  const before = readArea(disk)
  try {
    const extraArgs = [...TEST_KERNEL_DEVICE, ...(machine.extraArgs ?? [])]
    const { readOnly = false } = loaderCase
    const options = {
      disk,
      serialLog,
      extraArgs,
      readOnly,
      memoryMiB: 96,
      hasSerial: machine.hasSerial ?? true,
    }
    const { exitCode, output } = await runVm(options, BOOT_TIMEOUT_MS)
    const after = readArea(disk)
    const report = parseKernelReport(output)
    if (report) expect(report.hasInitrd).toBe(true)
    check({
      exitCode,
      output,
      cmdline: report?.cmdline ?? null,
      env0: member(after, 'env0'),
      env1: member(after, 'env1'),
    })
    expect(withoutCopies(after).equals(withoutCopies(before)), 'bytes outside env0 and env1 changed').toBe(
      true,
    )
    rmSync(disk)
  } catch (error) {
    failures++
    console.error(`${loaderCase.name}: disk ${disk}, serial log ${serialLog}`)
    throw error
  }
}

function member(area: Buffer, name: 'env0' | 'env1'): Buffer {
  return area.subarray(AREA[name].offset, AREA[name].offset + AREA[name].bytes)
}

function withoutCopies(area: Buffer): Buffer {
  const rest = Buffer.from(area)
  for (const name of ['env0', 'env1'] as const) member(rest, name).fill(0)
  return rest
}

/** A case by its name, for the tests that change something about the machine. */
function caseNamed(name: string): LoaderCase {
  const found = LOADER_CASES.find((loaderCase) => loaderCase.name === name)
  if (found === undefined) throw new Error(`no case ${name}`)
  return found
}

function expectPrediction(loaderCase: LoaderCase): (run: GrubRun) => void {
  const predicted = predict(loaderCase)
  return (run) => {
    expect(differences(predicted, run)).toEqual([])
    expect(run.exitCode).toBe(predicted.run.pick === null ? 0 : TEST_KERNEL_EXIT)
    if (predicted.run.pick === null)
      expect(run.output).toContain('nothing can be booted; next attempt in 1 s')
  }
}

describe('real GRUB does what the model says', () => {
  test.concurrent.each(LOADER_CASES)('$name', (loaderCase) =>
    bootCase(loaderCase, expectPrediction(loaderCase)),
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
    bootCase({ ...trial, name: `wrong model: ${_name}` }, (run) => {
      expect(differences(predict(trial), run)).toEqual([])
      expect(differences(predict(trial, wrong), run)).not.toEqual([])
    }),
  )
})

describe('the loader keeps to its disk and never asks', () => {
  const fresh = caseNamed('a fresh disk')

  test('a second disk with another boot state is not looked at', async () => {
    const other = { ...caseNamed('first try of b'), name: 'second disk' }
    const { disk: second } = filesOf(other)
    await makeCaseDisk(kit, other, second)
    const before = readArea(second)
    const extraArgs = ['-drive', `file=${second},format=raw,if=virtio`]
    await bootCase({ ...fresh, name: 'first disk' }, expectPrediction(fresh), { extraArgs })
    expect(readArea(second).equals(before)).toBe(true)
  })

  test('without a bootstate partition it waits and starts over, whatever the second disk says', async () => {
    const { disk: second } = filesOf({ ...fresh, name: 'second disk, whole' })
    await makeCaseDisk(kit, fresh, second)
    const wiped = { ...fresh, name: 'no bootstate' }
    const extraArgs = ['-drive', `file=${second},format=raw,if=virtio`]
    await bootCase(wiped, expectNothing('no bootstate partition on hd0; next attempt in 1 s'), {
      prepare: wipeArea,
      extraArgs,
    })
  })

  test('a file system that looks like one is not taken for the bootstate partition', async () => {
    const impostor = { ...fresh, name: 'impostor' }
    const prepare = async (disk: string) => {
      await wipeArea(disk)
      await putImpostor(kit, disk)
    }
    await bootCase(impostor, expectNothing('no bootstate partition on hd0'), { prepare })
  })

  test.each(['if [', 'nonsense', '', 'return', 'normal_exit'])(
    'a script of %j ends in a reboot, not at a prompt',
    (script) => {
      const broken = { ...fresh, name: `script ${script}` }
      const bytes = Buffer.alloc(AREA['grub.cfg'].bytes, '#')
      bytes.write(`${script}\n`)
      const prepare = (disk: string) => overwriteArea(disk, 'grub.cfg', bytes)
      return bootCase(broken, expectNothing('next attempt in 1 s'), { prepare })
    },
  )

  test('a machine without a serial port boots as well', () => {
    const silent = { ...fresh, name: 'no serial port' }
    const { env0 } = predict(silent)
    const check = (run: GrubRun) => {
      expect(run.exitCode).toBe(TEST_KERNEL_EXIT)
      expect(run.env0.equals(env0)).toBe(true)
    }
    return bootCase(silent, check, { hasSerial: false })
  })

  test('a disk with an MBR partition table boots as well', () => {
    const mbr = { ...fresh, name: 'mbr' }
    const predicted = predict(mbr)
    const cmdline = predicted.cmdline?.replace(PARTS.a.part, MBR_PARTS.a) ?? null
    const check = (run: GrubRun) => expect(differences({ ...predicted, cmdline }, run)).toEqual([])
    return bootCase(mbr, check, { prepare: makeMbrTable })
  })
})

function expectNothing(message: string): (run: GrubRun) => void {
  return (run) => {
    expect(run.output).toContain(message)
    expect(run.cmdline).toBe(null)
    expect(run.exitCode).toBe(0)
  }
}
