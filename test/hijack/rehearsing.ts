import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import type { Facts } from '../../src/model/facts.ts'
import type { Plan } from '../../src/plan/step.ts'
import { planConfirm } from '../../src/plan/verdict.ts'
import { executePlan } from '../../src/run/execute.ts'
import { observe, withMachine } from '../../src/run/machine.ts'
import { type Box, bootOf, hasMbr, makeBox, rootOf, tableIdOf } from './box.ts'
import { run } from './box-files.ts'
import { DEVICE } from './box-host.ts'
import { armOn, makeImage, stageOn } from './takeover-steps.ts'

/** A file as GRUB's own drivers read it: the disk as it is, and no journal. By default of the old root. */
export function readByGrub(disk: string, path: string, partition = rootOf(disk).number): Buffer {
  const name = `${hasMbr(disk) ? 'msdos' : 'gpt'}${partition}`
  return execFileSync('grub-fstest', [disk, 'cat', `(loop0,${name})${path}`], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}

/** A file in /boot, wherever that is. */
export function readBoot(disk: string, name: string): Buffer {
  const own = bootOf(disk)
  return own === undefined ? readByGrub(disk, `/boot/${name}`) : readByGrub(disk, `/${name}`, own.number)
}

/** GRUB takes the one-shot and forgets it before it starts anything. Returns the command line of the entry. */
export function startRehearsal({ disk, folder }: Box): string {
  const custom = readBoot(disk, 'grub/custom.cfg').toString()
  const words = /linux \(pine\)\/boot\/vmlinuz (.+)\n/.exec(custom)?.[1]
  if (words === undefined) throw new Error(`custom.cfg has no entry: ${custom}`)
  run('grub-editenv', [join(folder, 'boot/grub/grubenv'), 'set', 'next_entry='])
  return words
}

/** What the new system does in its rehearsal; returns the commands that would have restarted it. */
export async function rehearse(box: Box, planOf: (facts: Facts) => Plan): Promise<string[]> {
  const cmdline = startRehearsal(box)
  const disks = [{ name: DEVICE, type: 'disk', ptuuid: tableIdOf(box.disk) }]
  const restarts: string[] = []
  const host: Box['host'] = {
    ...box.host,
    readFile: async (path) => (path === '/proc/cmdline' ? Buffer.from(cmdline) : box.host.readFile(path)),
    exec: async (command, args, options) => {
      if (command === 'lsblk') return JSON.stringify({ blockdevices: disks })
      if (command !== 'systemctl') return box.host.exec(command, args, options)
      restarts.push(args.join(' '))
      return ''
    },
    stopWatchdog: async () => {
      throw new Error('the watchdog of a rehearsal was stopped')
    },
  }
  await withMachine(host, { disk: undefined, writable: true }, async (machine) => {
    const plan = planOf(await observe(machine))
    await executePlan(plan, { machine, onStep: () => undefined })
  })
  return restarts
}

export async function becomeRehearsed(box: Box): Promise<void> {
  await stageOn(box, makeImage(box))
  await armOn(box)
  await rehearse(box, planConfirm)
}

/** A box, and how its new system came through its rehearsal. */
export async function makeRehearsed(script?: string): Promise<Box> {
  const box = await makeBox(script)
  try {
    await becomeRehearsed(box)
  } catch (error) {
    box.close()
    throw error
  }
  return box
}
