import { PineError } from '../core/error.ts'
import { sumOf } from '../core/room.ts'
import { emptyFolder, makeFolder, occupiedRoom } from '../host/folder.ts'
import type { Host } from '../host/host.ts'
import type { SlotName } from '../model/boot-state.ts'
import { type AtRoot, exchangeFile, parseExchange } from '../model/exchange.ts'
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
  const journal = await host.readFile(exchangeFile(path))
  const atRoot = journal === undefined ? undefined : parseExchange(journal.toString())
  return {
    path,
    atRoot: atRoot === 'a' || atRoot === 'b' ? atRoot : null,
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
        requireAtRest(slot, atRoot)
        await makeFolder(folder)
        await emptyFolder(folder)
      }
      return await use(folder)
    },
    async slotCapacity(slot) {
      requireAtRest(slot, atRoot)
      const folder = slotFolder(path, slot)
      const held = (await host.kindOf(folder)) === 'folder' ? [await occupiedRoom(folder)] : []
      return sumOf([{ bytes: await host.freeBytes(path), inodes: await host.freeInodes(path) }, ...held])
    },
    flushSlot: async (slot) => void (await host.exec('sync', ['-f', slotFolder(path, slot)], SYNC)),
  }
}

/** A disk that is slow, and has much to write. */
const SYNC = { timeoutMs: 3_600_000 }

/** The folder of a slot that is at the root has the old system in it. Throws `DISK_IN_USE`. */
function requireAtRest(slot: SlotName, atRoot: AtRoot | undefined): void {
  if (atRoot !== slot && atRoot !== 'cut') return
  const found =
    atRoot === slot ? `slot ${slot} is at the root of the container` : 'an exchange of slots was cut off'
  throw new PineError('DISK_IN_USE', `${found}, so its folder cannot be made anew`, {
    hint: 'start the container, which brings to its root what the boot state says, then run the command again',
  })
}
