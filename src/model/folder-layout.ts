import { join } from 'node:path'
import type { SlotName } from './boot-state.ts'

/** Where things are in the folder of a machine whose slots are folders. */
export function bootstateFile(machine: string): string {
  return join(machine, 'bootstate')
}

export function slotFolder(machine: string, slot: SlotName): string {
  return join(machine, 'slots', slot)
}
