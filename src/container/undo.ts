import { join } from 'node:path'
import { CONTAINER, readContainerCmdline } from '../boot/container.ts'
import { PineError } from '../core/error.ts'
import type { Host } from '../host/host.ts'
import { hasShim, OLD_INIT, PINE, readAtRoot, removeSlots, sbinOf, sync } from './root.ts'

/** `old`: all is as it was. `restart`: the slots are in use until the container starts again. */
export type UndoOutcome = 'old' | 'restart'

/**
 * Lets a container start the system that was there before; a crash leaves the one or the other. The slots go where none of
 * them runs, else with the next `undo` in the old system. Throws `TAKEOVER_ORDER`.
 */
export async function undoContainer(host: Host, given: string): Promise<UndoOutcome> {
  const atRoot = await readAtRoot(host, given)
  if (atRoot !== undefined && atRoot !== 'old') {
    // Only PID 1 can exchange what everything runs from: the next start does it.
    await host.replaceFile(join(given, PINE, 'undo'), '')
    return 'restart'
  }
  const slot = given === '/' ? (await readContainerCmdline(host))?.get('pine.slot') : undefined
  const runs = slot === 'a' || slot === 'b'
  const root = runs ? join(CONTAINER, 'outer') : given
  const isOurs = await hasShim(host, root)
  if (!isOurs && (runs || (await host.kindOf(join(root, PINE))) === undefined)) {
    throw new PineError('TAKEOVER_ORDER', 'this container starts its old system, there is nothing to undo', {
      hint: 'pine-update container init makes the slots',
    })
  }
  if (isOurs) {
    const { path } = await sbinOf(host, root)
    await host.rename(join(path, OLD_INIT), join(path, 'init'))
    await sync(host, root)
  }
  if (runs) return 'restart'
  const { path } = await sbinOf(host, root)
  await removeSlots(host, root)
  // Of an init that was cut off between the two names.
  for (const name of [OLD_INIT, 'init.pine-new']) await host.removeFile(join(path, name))
  return 'old'
}
