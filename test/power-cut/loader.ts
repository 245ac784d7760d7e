import { AREA } from '../../src/boot/bootstate-area.ts'
import { decodeEnvBlock } from '../../src/boot/env-block.ts'
import { type BootState, otherSlot, type SlotName } from '../../src/model/boot-state.ts'
import type { Layout } from '../../src/model/layout.ts'
import { simulateLoader } from '../../src/model/loader.ts'
import { saveVariables } from '../../vm-tests/lib/grub-save.ts'
import { savedVariables } from '../../vm-tests/lib/prediction.ts'
import { contentOf, type Disk, type Piece } from './disk.ts'

/** What the loader does with a disk. */
export interface LoaderStart {
  /** The copy it used; null where neither is usable, and then it boots whatever loads. */
  readonly copy: 'env0' | 'env1' | null
  readonly pick: SlotName | null
  /** The state it read. */
  readonly read: BootState | undefined
  /** The state it left. */
  readonly after: BootState | undefined
  /** What it writes before it starts the kernel. */
  readonly saves: readonly Piece[]
  /** The kernel's command line. */
  readonly cmdline: string
}

/**
 * The model of src/model/loader.ts on real blocks; vm-tests/ compares both with GRUB. It loads any slot, torn or not: only
 * the boot state may protect it.
 */
export function startLoader(disk: Disk, layout: Layout): LoaderStart {
  const blocks = { env0: blockOf(disk, 'env0'), env1: blockOf(disk, 'env1') }
  const first = decodeEnvBlock(blocks.env0)
  const read = first ?? decodeEnvBlock(blocks.env1)
  const used = first === undefined ? 'env1' : 'env0'
  // Whether GRUB takes a block does not depend on the values.
  const canSave = read !== undefined && saveVariables(blocks[used], [['last', '-']]) !== undefined
  const { pick, after, left } = simulateLoader(read, (target) => target !== 'r', canSave)
  const bytes = canSave && after !== undefined ? saved(blocks[used], after) : undefined
  const saves: Piece[] = bytes === undefined ? [] : [{ role: 'bootstate', offset: AREA[used].offset, bytes }]
  const copy = read === undefined ? null : used
  const slot = pick === 'r' ? null : pick
  const cmdline = slot === null ? '' : cmdlineOf(layout, { slot, after, left, copy })
  return { copy, pick: slot, read, after, saves, cmdline }
}

function blockOf(disk: Disk, name: 'env0' | 'env1'): Buffer {
  const { offset, bytes } = AREA[name]
  return contentOf(disk, 'bootstate').subarray(offset, offset + bytes)
}

function saved(block: Buffer, state: BootState): Buffer | undefined {
  return saveVariables(block, savedVariables(state))
}

interface Started extends Pick<LoaderStart, 'copy' | 'after'> {
  slot: SlotName
  left: number
}

/** As src/system/grub.cfg makes it, as far as user space looks at it. */
function cmdlineOf({ partitions }: Layout, { slot, after, left, copy }: Started): string {
  const eight = (value: number | undefined) => String(value ?? 0).padStart(8, '0')
  const other = otherSlot(slot)
  return [
    `root=PARTUUID=${partitions[`rootfs-${slot}`].uuid} ro`,
    `pine.slot=${slot} pine.gen=${eight(after?.slots[slot].generation)}`,
    `pine.from=${other}.${eight(after?.slots[other].generation)}`,
    `pine.left=${left} pine.seq=${eight(after?.sequence)} pine.st=${copy === null ? 'none' : copy.slice(3)}`,
  ].join(' ')
}
