import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import { AREA } from '../../src/boot/bootstate-area.ts'
import type { LoaderCase } from '../loader-cases.ts'
import { buildLoaderKit, type LoaderKit, makeCaseDisk, readArea } from './loader-disk.ts'
import { type Boot, differences, predict } from './prediction.ts'
import { type Firmware, runVm } from './qemu.ts'
import { parseKernelReport, TEST_KERNEL_DEVICE, TEST_KERNEL_EXIT } from './test-kernel.ts'

/** OVMF alone takes seconds on an emulated processor; SeaBIOS does not. */
const BOOT_TIMEOUT_MS: Record<Firmware, number> = { bios: 30_000, uefi: 120_000 }
const MEMORY_MIB: Record<Firmware, number> = { bios: 96, uefi: 128 }

/** How the machine of a case differs from the usual one. */
export interface Machine {
  /** Puts further things on the disk before it starts. */
  prepare?: (disk: string) => Promise<void>
  extraArgs?: readonly string[]
  hasSerial?: boolean
  readOnly?: boolean
}

export interface GrubRun extends Boot {
  exitCode: number | null
  output: string
}

/** Real GRUB in qemu, started by one firmware. */
export interface LoaderBench {
  readonly kit: LoaderKit
  /** Path of a new file. */
  path(name: string): string
  /** Makes the disk of a case and returns its path. */
  makeDisk(loaderCase: LoaderCase): Promise<string>
  /** Boots a disk once. */
  run(disk: string, machine?: Machine): Promise<GrubRun>
  /** Boots the disk of a case; prints where disk and serial log are when `check` throws. */
  boot(loaderCase: LoaderCase, check: (run: GrubRun) => void, machine?: Machine): Promise<void>
  /** Removes everything, unless a boot failed. */
  close(): void
}

export async function openLoaderBench(firmware: Firmware): Promise<LoaderBench> {
  const dir = mkdtempSync(join(tmpdir(), `pine-loader-${firmware}-`))
  const kit = await buildLoaderKit(dir)
  let failures = 0
  let made = 0
  // Numbered, since names of cases can differ in punctuation alone.
  const path = (name: string): string => join(dir, `${++made}-${name.replaceAll(/[^A-Za-z0-9.]+/g, '-')}`)

  async function makeDisk(loaderCase: LoaderCase): Promise<string> {
    const disk = path(`${loaderCase.name}.disk`)
    await makeCaseDisk(kit, loaderCase, disk)
    return disk
  }

  async function run(disk: string, machine: Machine = {}): Promise<GrubRun> {
    const { exitCode, output } = await runVm(
      {
        disk,
        firmware,
        serialLog: `${disk}.serial`,
        extraArgs: [...TEST_KERNEL_DEVICE, ...(machine.extraArgs ?? [])],
        readOnly: machine.readOnly ?? false,
        memoryMiB: MEMORY_MIB[firmware],
        hasSerial: machine.hasSerial ?? true,
      },
      BOOT_TIMEOUT_MS[firmware],
    )
    const report = parseKernelReport(output)
    if (report) expect(report.hasInitrd).toBe(true)
    return { exitCode, output, cmdline: report?.cmdline ?? null, ...readCopies(disk) }
  }

  return {
    kit,
    path,
    makeDisk,
    run,
    async boot(loaderCase, check, machine = {}) {
      const disk = await makeDisk(loaderCase)
      await machine.prepare?.(disk)
      const before = readArea(disk)
      try {
        check(await run(disk, { readOnly: loaderCase.readOnly ?? false, ...machine }))
        const unchanged = withoutCopies(readArea(disk)).equals(withoutCopies(before))
        expect(unchanged, 'bytes outside env0 and env1 changed').toBe(true)
        rmSync(disk)
      } catch (error) {
        failures++
        console.error(`${loaderCase.name}: disk ${disk}, serial log ${disk}.serial`)
        throw error
      }
    },
    close: () => {
      if (failures === 0) rmSync(dir, { recursive: true })
    },
  }
}

/** Both copies of the boot state, as they are on a disk. */
export function readCopies(disk: string): Pick<Boot, 'env0' | 'env1'> {
  const area = readArea(disk)
  return { env0: member(area, 'env0'), env1: member(area, 'env1') }
}

function member(area: Buffer, name: 'env0' | 'env1'): Buffer {
  return area.subarray(AREA[name].offset, AREA[name].offset + AREA[name].bytes)
}

function withoutCopies(area: Buffer): Buffer {
  const rest = Buffer.from(area)
  for (const name of ['env0', 'env1'] as const) member(rest, name).fill(0)
  return rest
}

/** What the model says of the case is what was seen. `disk` is GRUB's name of the disk, by default the first. */
export function expectPrediction(loaderCase: LoaderCase, disk = 'hd0'): (run: GrubRun) => void {
  const predicted = predict(loaderCase)
  const cmdline = predicted.cmdline?.replace('(hd0,', `(${disk},`) ?? null
  return (run) => {
    expect(differences({ ...predicted, cmdline }, run)).toEqual([])
    expect(run.exitCode).toBe(predicted.run.pick === null ? 0 : TEST_KERNEL_EXIT)
    if (predicted.run.pick === null)
      expect(run.output).toContain('nothing can be booted; next attempt in 1 s')
  }
}

/** No kernel is started: a message, and the machine starts over. */
export function expectNothing(message: string): (run: GrubRun) => void {
  return (run) => {
    expect(run.output).toContain(message)
    expect(run.cmdline).toBe(null)
    expect(run.exitCode).toBe(0)
  }
}
