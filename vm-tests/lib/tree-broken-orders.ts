import type { Layout } from '../../src/model/layout.ts'
import { armedAt, disarmedAt, slotsWritten } from './tree-cut-moments.ts'
import type { Logged } from './write-log.ts'

/** What was recorded, as a product that is broken would have done it: the cuts are worth as much as what they find here. */
export interface TreeBrokenOrder {
  readonly name: string
  readonly reorder: (log: readonly Logged[], layout: Layout) => Logged[]
}

/** To add one, add a line; the test shows that each is found. */
export const TREE_BROKEN_ORDERS: readonly TreeBrokenOrder[] = [
  {
    name: 'no flush between the tree and the arming',
    reorder(log, layout) {
      const { first, armed } = placesIn(log, layout)
      return log.filter(({ kind }, at) => kind === 'write' || at < first || at > armed)
    },
  },
  {
    name: 'the arming before the tree',
    reorder(log, layout) {
      const { first, last, armed } = placesIn(log, layout)
      // With the flush behind it.
      const [tree, arming] = [log.slice(first, last + 1), log.slice(last + 1, armed + 2)]
      return [...log.slice(0, first), ...arming, ...tree, ...log.slice(armed + 2)]
    },
  },
  {
    name: 'the tree before the disarming',
    reorder(log, layout) {
      const { first, last } = placesIn(log, layout)
      const disarming = disarmedAt(log, layout)
      const [before, tree] = [log.slice(disarming, first), log.slice(first, last + 1)]
      return [...log.slice(0, disarming), ...tree, ...before, ...log.slice(last + 1)]
    },
  },
  {
    name: 'one write of the tree never arrives',
    reorder(log, layout) {
      const { first, last } = placesIn(log, layout)
      const made = log.findIndex(({ kind }, at) => kind === 'flush' && at > first)
      // Of a large file that all releases have: smaller ones may go to blocks that are free again in the end.
      const tree = log.slice(made, last).map((entry) => (entry.kind === 'write' ? entry.content.length : 0))
      const missing = made + tree.indexOf(Math.max(...tree))
      return log.filter((_, at) => at !== missing)
    },
  },
]

/** The first and the last write to slot a, and the arming. */
function placesIn(log: readonly Logged[], layout: Layout) {
  const isTree = (entry: Logged) => entry.kind === 'write' && slotsWritten([entry], layout).includes('a')
  return { first: log.findIndex(isTree), last: log.findLastIndex(isTree), armed: armedAt(log, layout) }
}
