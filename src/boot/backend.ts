import { PineError } from '../core/error.ts'
import type { Region } from '../core/region.ts'
import type { BootState } from '../model/boot-state.ts'
import { isBootstateArea } from './bootstate-area.ts'
import { chooseCopy } from './env-block.ts'
import { readBootState, writeBootState } from './grub-state.ts'

/** A boot loader whose boot state we read and write. Facts in, facts out: policy is in src/model and src/plan. */
export interface BootBackend {
  readonly name: 'grub'
  /** True where this loader's boot state is kept here. */
  detect(bootstate: Region): Promise<boolean>
  /** Throws `BOOT_STATE_INVALID`. */
  read(bootstate: Region): Promise<BootState>
  /** What the loader itself will find: another copy than `read` takes where the disk lost a write. Throws `BOOT_STATE_INVALID`. */
  readAsLoader(bootstate: Region): Promise<BootState | undefined>
  /** Arms, disarms, confirms or rejects, in one atomic write; returns what it wrote. Throws `BUSY`. */
  change(bootstate: Region, transition: (state: BootState) => BootState): Promise<BootState>
}

const grub: BootBackend = {
  name: 'grub',
  detect: isBootstateArea,
  read: async (bootstate) => (await readBootState(bootstate)).state,
  readAsLoader: async (bootstate) => chooseCopy((await readBootState(bootstate)).copies),
  change: async (bootstate, transition) => {
    const { state } = await readBootState(bootstate)
    const next = transition(state)
    await writeBootState(bootstate, next, state.sequence)
    return next
  },
}

/** To add a loader: a backend here, tried in this order. */
const BACKENDS: readonly BootBackend[] = [grub]

/** The loader whose state is kept in `bootstate`. Throws `NOT_A_PINE_DISK`. */
export async function findBackend(bootstate: Region): Promise<BootBackend> {
  for (const backend of BACKENDS) {
    if (await backend.detect(bootstate)) return backend
  }
  const expected = BACKENDS.map(({ name }) => name).join(', ')
  throw new PineError(
    'NOT_A_PINE_DISK',
    `${bootstate.name} has no boot state of a known loader (${expected})`,
    {
      hint: 'is this the bootstate partition of a disk made by "pine-update disk build"?',
    },
  )
}
