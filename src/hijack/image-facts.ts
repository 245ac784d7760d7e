import { join } from 'node:path'
import { withTempDir } from '../host/files.ts'
import type { Host } from '../host/host.ts'
import { moduleName } from './drivers.ts'

/** What is in the image that is to take over. */
export interface ImageFacts {
  bytes: number
  /** Prepared by a pine-update that knows rehearsals. */
  canRehearse: boolean
  /** Of its kernel: as modules, or built in. */
  modules: Set<string>
  /** `x86_64` and the like, of its init; empty where that is no ELF file. */
  machine: string
  hasSudo: boolean
}

const MODULES = 'usr/lib/modules'
const REHEARSAL = 'usr/share/initramfs-tools/scripts/local-top/pine-update-rehearse'
const ELF_MACHINES: Record<number, string> = { 62: 'x86_64', 183: 'aarch64' }

/** Mounts the image to look into it. Throws `TOOL_FAILED` where this kernel cannot mount it. */
export async function readImageFacts(host: Host, image: string): Promise<ImageFacts> {
  const region = await host.openRegion(image)
  await region.close()
  return withTempDir(async (dir) => {
    await host.exec('mount', ['-o', 'ro,loop', image, dir])
    try {
      return {
        bytes: region.bytes,
        canRehearse: (await host.kindOf(join(dir, REHEARSAL))) === 'file',
        modules: await modulesIn(host, dir),
        machine: await machineOf(host, dir),
        hasSudo: (await host.kindOf(join(dir, 'usr/bin/sudo'))) === 'file',
      }
    } finally {
      await host.exec('umount', [dir])
    }
  })
}

async function modulesIn(host: Host, tree: string): Promise<Set<string>> {
  const modules = new Set<string>()
  for (const version of await host.listFolder(join(tree, MODULES))) {
    for (const list of ['modules.dep', 'modules.builtin']) {
      const text = (await host.readFile(join(tree, MODULES, version, list)))?.toString() ?? ''
      for (const line of text.split('\n')) modules.add(moduleName(line.split(':')[0] ?? ''))
    }
  }
  return modules
}

/** ELF: e_machine is a 16-bit number at 18. */
async function machineOf(host: Host, tree: string): Promise<string> {
  const init = await host.readFile(join(tree, 'usr/bin/env'))
  if (init === undefined || init.readUInt32BE(0) !== 0x7f454c46) return ''
  return ELF_MACHINES[init.readUInt16LE(18)] ?? 'of another kind'
}
