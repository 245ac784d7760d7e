import type { Host } from '../../src/host/host.ts'
import type { BootTarget } from '../../src/model/boot-state.ts'
import { simulateLoader } from '../../src/model/loader.ts'
import { withMachine } from '../../src/run/machine.ts'

/** What the loader does with a disk image: the model picks, and its save is written back. */
export async function bootDisk(host: Host, disk: string): Promise<BootTarget | null> {
  return withMachine(host, { disk, writable: true }, async ({ bootstate, loader }) => {
    const { pick, after } = simulateLoader(await loader.read(bootstate), (target) => target !== 'r')
    if (after !== undefined)
      await loader.change(bootstate, (now) => ({ ...after, sequence: now.sequence + 1 }))
    return pick
  })
}
