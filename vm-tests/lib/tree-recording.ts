import { statSync } from 'node:fs'
import { join } from 'node:path'
import { copyDisk } from './commands.ts'
import { openLossyDisk } from './lossy-disk.ts'
import { serveNbd } from './nbd-server.ts'
import { phaseOf } from './power-phases.ts'
import { CPU, guestOf } from './power-run.ts'
import type { Guest } from './power-story.ts'
import { startVm, type Vm, type VmOptions } from './qemu.ts'
import type { TreeCutKit } from './tree-cut-kit.ts'
import { type Logged, recordedDisk } from './write-log.ts'

export interface TreeRecording {
  readonly kit: TreeCutKit
  /** From the start of `apply` in r2 until r3 is confirmed. */
  readonly log: readonly Logged[]
  /** A disk as it was before the first of it. */
  readonly before: string
}

type TreeMachine = Pick<VmOptions, 'disk' | 'serialLog' | 'onOutput'>

/** A machine that can apply the bundle with `applyCommand`. */
export function startTreeMachine({ cargo }: TreeCutKit, options: TreeMachine): { vm: Vm; guest: Guest } {
  const drive = ['-drive', `file=${cargo},format=raw,if=virtio,readonly=on`]
  const vm = startVm({ ...options, restarts: true, extraArgs: [...CPU, ...drive] })
  return { vm, guest: guestOf(vm) }
}

export function applyCommand({ bundle }: TreeCutKit): string {
  return `head -c ${statSync(bundle).size} /dev/vdb | pine-update apply - --reboot 2>&1 | cat`
}

/** One machine that takes its update undisturbed, up to the confirmation; what its disk was told meanwhile. */
export async function recordTreeUpdate(kit: TreeCutKit, dir: string): Promise<TreeRecording> {
  const [path, before] = [join(dir, 'recorded.img'), join(dir, 'before.img')]
  copyDisk(kit.disk, path)
  const log: Logged[] = []
  let doing = ''
  const disk = openLossyDisk(path)
  const recorded = recordedDisk(disk, log, () => doing)
  const server = await serveNbd(recorded, `${path}.socket`)
  const onOutput = (output: string): void => {
    doing = phaseOf(output)
  }
  const serialLog = join(dir, 'recorded.log')
  const { vm, guest } = startTreeMachine(kit, { disk: server.url, serialLog, onOutput })
  try {
    await guest.up()
    await said(guest, 'pine-update health --boot; sync', 'is permanent')
    // No write is on its way now: init waits for the next line.
    copyDisk(path, before)
    log.length = 0
    await said(guest, `echo "<apply>"; ${applyCommand(kit)}`, 'boots next')
    await guest.up()
    await said(guest, 'echo "<health>"; pine-update health --boot', 'is permanent')
  } finally {
    await vm.kill()
    await server.close()
    disk.close()
  }
  return { kit, log, before }
}

/** Throws where a command does not say what it should. */
export async function said(guest: Guest, command: string, expected: string): Promise<void> {
  const { text } = await guest.ask(command)
  if (!text.includes(expected)) throw new Error(`"${command}" said ${text}, expected ${expected}`)
}
