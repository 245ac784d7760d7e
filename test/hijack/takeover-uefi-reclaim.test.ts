import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { preferLoader } from '../../src/boot/firmware-choice.ts'
import { planReclaim, reclaim } from '../../src/hijack/reclaim.ts'
import type { Host } from '../../src/host/host.ts'
import { readTable } from '../../src/host/sfdisk.ts'
import { type Layout, parseLayout } from '../../src/model/layout.ts'
import { planConfirm } from '../../src/plan/verdict.ts'
import { executePlan } from '../../src/run/execute.ts'
import { observe, withMachine } from '../../src/run/machine.ts'
import { bootDisk } from '../support/boot-disk.ts'
import { withoutBox } from './box.ts'
import { DEVICE } from './box-host.ts'
import { explore } from './cuts.ts'
import { becomeRehearsed } from './rehearsing.ts'
import { commitOn, type Machine } from './takeover-steps.ts'
import { makeUefiBox, OLD_GRUB, OUR_GRUB, startFirmware, type UefiBox, variablesOf } from './uefi-box.ts'

const reason = withoutBox()
if (reason !== undefined) console.log(`skipped, ${reason}: reclaim on UEFI`)

const GLOBAL = '8be4df61-93ca-11d2-aa0d-00e098032b8c'

let box: UefiBox
afterEach(() => box?.close())

const layoutNow = async (): Promise<Layout> => parseLayout(await readTable(box.host, DEVICE), DEVICE)
const fallback = () => readFileSync(join(box.esp, 'EFI/BOOT/BOOTX64.EFI'))

/** Our loader had its one start, and what it started was confirmed there. */
async function openConfirmed(): Promise<void> {
  box = await makeUefiBox()
  await becomeRehearsed(box)
  await commitOn(box)
  expect(startFirmware(box)).toBe('pine-update')
  expect(await bootDisk(box.host, DEVICE)).toBe('a')
  await preferLoader(box.host, await layoutNow())
  await withMachine(box.host, { disk: DEVICE, writable: true }, async (machine) =>
    executePlan(planConfirm(await observe(machine)), { machine, onStep: () => undefined }),
  )
}

/** This disk is a file: what the kernel would be told of it is not done. */
function quiet({ host, ...rest }: Machine, change: Partial<Host> = {}): Machine {
  const exec: Host['exec'] = async (command, args, options) =>
    ['partx', 'udevadm', 'resize2fs'].includes(command) ? '' : host.exec(command, args, options)
  return { ...rest, host: { ...host, exec, ...change } }
}

async function reclaimOn({ host }: Machine): Promise<void> {
  const facts = await withMachine(host, { disk: DEVICE, writable: true }, observe)
  await reclaim(host, { path: DEVICE, layout: facts.layout }, planReclaim(facts))
}

describe.skipIf(reason !== undefined)(
  'reclaim on UEFI, with folders in place of FAT and its variables',
  () => {
    test('puts our loader where firmware looks that has lost its variables, and keeps what was there', async () => {
      await openConfirmed()
      expect(fallback().equals(OLD_GRUB)).toBe(true)
      await reclaimOn(quiet(box))
      expect(fallback().equals(OUR_GRUB)).toBe(true)
      expect(readFileSync(join(box.esp, 'EFI/BOOT/before-pine-update.efi')).equals(OLD_GRUB)).toBe(true)
      expect((await layoutNow()).old).toBeUndefined()
      expect(variablesOf(box).BootOrder).toBe('07000000020001000000')
      expect(startFirmware(box)).toBe('pine-update')
    })

    test('whenever the power goes, no loader is left alone with a system that is gone', async () => {
      await openConfirmed()
      const moments = new Set<string>()
      const problems = await explore(
        box,
        (machine) => reclaimOn(quiet(machine)),
        async ({ moment }) => {
          moments.add(moment)
          const { old } = await layoutNow()
          const isOurs = existsSync(join(box.esp, 'EFI/BOOT/BOOTX64.EFI')) && fallback().equals(OUR_GRUB)
          return old !== undefined || isOurs ? [] : ['firmware without variables starts what is gone']
        },
      )
      expect(problems).toEqual([])
      expect(moments.size).toBeGreaterThan(5)
    })

    test.each<[string, () => Partial<Host>, string]>([
      [
        'whose firmware keeps nothing',
        () => {
          writeFileSync(
            join(box.disk, '../firmware/efivars', `BootOrder-${GLOBAL}`),
            Buffer.from('070000000100', 'hex'),
          )
          return { writeVariable: async () => undefined }
        },
        'IO_FAILED',
      ],
      [
        'without our loader on its partition',
        () => {
          rmSync(join(box.esp, 'EFI/pine-update'), { recursive: true })
          return {}
        },
        'TAKEOVER_REFUSED',
      ],
      [
        'that cannot mount FAT',
        () => ({
          exec: async (command, args, options) => {
            if (command === 'mount') throw new Error('unknown filesystem type')
            return quiet(box).host.exec(command, args, options)
          },
        }),
        'unknown filesystem type',
      ],
      [
        'whose partition does not keep what is written',
        () => ({ replaceFile: (path, content) => box.host.replaceFile(path, content.slice(0, 1000)) }),
        'IO_FAILED',
      ],
    ])('of a machine %s is refused, and the old system stays', async (_, breakIt, text) => {
      await openConfirmed()
      const error: unknown = await reclaimOn(quiet(box, breakIt())).then(
        () => undefined,
        (reason: unknown) => reason,
      )
      expect(`${(error as { code?: string }).code} ${String(error)}`).toContain(text)
      expect((await layoutNow()).old).toBeDefined()
      // Nothing of it is left mounted.
      expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(join(box.disk, '../run/esp'))
    })
  },
)
