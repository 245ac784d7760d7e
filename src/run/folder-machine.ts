import { PineError } from '../core/error.ts'
import { emptyFolder, makeFolder, occupiedBytes } from '../host/folder.ts'
import type { Host } from '../host/host.ts'
import { bootstateFile, slotFolder } from '../model/folder-layout.ts'
import type { PineDisk } from './disk.ts'

/** Opens one that does not run. Throws `NOT_A_PINE_DISK`. */
export async function openFolderMachine(host: Host, path: string): Promise<PineDisk> {
  const bootstate = bootstateFile(path)
  if ((await host.kindOf(bootstate)) !== 'file') {
    throw new PineError('NOT_A_PINE_DISK', `${path} is a folder without bootstate`, {
      hint: 'is this a folder made by "pine-update folder build"?',
    })
  }
  return {
    path,
    live: false,
    isRehearsal: false,
    layout: null,
    cmdline: new Map(),
    open: (role, { writable }) => {
      if (role === 'bootstate') return host.openRegion(bootstate, { writable })
      throw new PineError('NOT_A_PINE_DISK', `${path} is a folder and has no partition ${role}`, {
        hint: 'its slots hold trees: make the bundle with "bundle create --tree"',
      })
    },
    sharesSlots: true,
    async withSlotFolder(slot, how, use) {
      const folder = slotFolder(path, slot)
      if (how === 'anew') {
        await makeFolder(folder)
        await emptyFolder(folder)
      }
      return await use(folder)
    },
    async slotCapacity(slot) {
      const folder = slotFolder(path, slot)
      const held = (await host.kindOf(folder)) === 'folder' ? await occupiedBytes(folder) : 0
      return (await host.freeBytes(path)) + held
    },
    flushSlot: async (slot) => void (await host.exec('sync', ['-f', slotFolder(path, slot)], SYNC)),
  }
}

/** A disk that is slow, and has much to write. */
const SYNC = { timeoutMs: 3_600_000 }
