import { AREA } from '../../src/boot/bootstate-area.ts'
import { decodeEnvBlock } from '../../src/boot/env-block.ts'
import { type BootState, firstSlot, type SlotName } from '../../src/model/boot-state.ts'
import type { Layout, Partition } from '../../src/model/layout.ts'
import type { Piece } from './lossy-disk.ts'
import type { Logged } from './write-log.ts'

/**
 * How many cuts follow each entry of the log. A third of them is spread over all, a third over those at which some of the boot
 * state is not flushed, and a third over those at which the one write that changes what boots is not.
 */
export function cutsByMoment(log: readonly Logged[], layout: Layout, cuts: number): Map<number, number> {
  const armed = armedAt(log, layout)
  const pools = [
    [...log.keys()],
    momentsWithout(log, (entry) => isIn(entry, layout.partitions.bootstate)),
    momentsWithout(log, (entry) => entry === log[armed]),
  ]
  const numbers = new Map<number, number>()
  for (let cut = 0; cut < cuts; cut++) {
    const pool = pools[cut % pools.length] ?? []
    const moment = pool[Math.floor((cut / cuts) * pool.length)]
    if (moment !== undefined) numbers.set(moment, (numbers.get(moment) ?? 0) + 1)
  }
  return numbers
}

/** At which such a write is not flushed. */
function momentsWithout(
  log: readonly Logged[],
  isSuch: (write: Extract<Logged, { kind: 'write' }>) => boolean,
): number[] {
  let isPending = false
  return [...log.entries()].flatMap(([moment, entry]) => {
    if (entry.kind === 'flush') isPending = false
    else if (isSuch(entry)) isPending = true
    return isPending ? [moment] : []
  })
}

function isIn({ offset, content }: Piece, partition: Partition): boolean {
  return offset < partition.offset + partition.bytes && offset + content.length > partition.offset
}

/** Those that a write goes to. */
export function slotsWritten(writes: readonly Piece[], { partitions }: Layout): SlotName[] {
  return (['a', 'b'] as const).filter((slot) =>
    writes.some((write) => isIn(write, partitions[`rootfs-${slot}`])),
  )
}

/** The first write after which the loader starts slot a. */
export function armedAt(log: readonly Logged[], layout: Layout): number {
  return firstBootState(log, layout, (state) => firstSlot(state) === 'a')
}

/** The first write after which it cannot. */
export function disarmedAt(log: readonly Logged[], layout: Layout): number {
  return firstBootState(log, layout, ({ slots }) => slots.a.left === 0)
}

function firstBootState(
  log: readonly Logged[],
  { partitions: { bootstate } }: Layout,
  isSuch: (state: BootState) => boolean,
): number {
  const found = log.findIndex((entry) => {
    if (entry.kind === 'flush') return false
    return (['env0', 'env1'] as const).some((name) => {
      const at = bootstate.offset + AREA[name].offset - entry.offset
      if (at < 0 || at + AREA[name].bytes > entry.content.length) return false
      const state = decodeEnvBlock(entry.content.subarray(at, at + AREA[name].bytes))
      return state !== undefined && isSuch(state)
    })
  })
  if (found < 0) throw new Error('the boot state never came to that')
  return found
}
