import { PineError } from '../core/error.ts'
import type { Host } from '../host/host.ts'
import { isFirst, preferChanges } from '../model/boot-variables.ts'
import type { Layout } from '../model/layout.ts'
import { applyBootChanges, isUefi, readBootVariables } from './firmware-variables.ts'

/** Whether the machine starts by our loader where nobody asks for another one. BIOS has no choice. */
export async function isLoaderFirst(host: Host, { partitions: { esp } }: Layout): Promise<boolean> {
  if (!(await isUefi(host))) return true
  return esp !== undefined && isFirst(await readBootVariables(host), esp.uuid)
}

/** Makes it so; does nothing where it is. Throws `TAKEOVER_REFUSED`, `IO_FAILED`. */
export async function preferLoader(host: Host, layout: Layout): Promise<void> {
  if (await isLoaderFirst(host, layout)) return
  const { esp } = layout.partitions
  const changes = esp === undefined ? [] : preferChanges(await readBootVariables(host), esp.uuid)
  if (changes.length === 0)
    throw new PineError(
      'TAKEOVER_REFUSED',
      'the firmware has no option that starts the loader of this system',
      {
        hint: 'is efivarfs mounted? Restart into the old system, and run "pine-update hijack commit" there again',
      },
    )
  await applyBootChanges(host, changes)
}
