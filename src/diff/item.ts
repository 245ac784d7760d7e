import type { Encoding } from '../core/encoding.ts'
import { lastStart } from '../core/search.ts'
import type { RunAim } from './moved-runs.ts'

/**
 * How a run of content comes to be, before addresses are given out: `base` and `new` are places in the content of the
 * base and of the new image (see `Content`), beyond its end in what is nested in files.
 */
export type Item =
  | { readonly kind: 'zero'; readonly bytes: number }
  | { readonly kind: 'literal'; readonly bytes: number; readonly data: Buffer }
  | { readonly kind: 'base'; readonly bytes: number; readonly at: number; readonly difference?: Buffer }
  /** Bytes of the base in which addresses follow the map; `old` and `data` are they before and after. */
  | {
      readonly kind: 'moved'
      readonly bytes: number
      readonly at: number
      readonly aim: RunAim
      readonly map: Float64Array
      readonly old: Buffer
      readonly data: Buffer
    }
  /** `data` is for where the place is not made yet. */
  | { readonly kind: 'new'; readonly bytes: number; readonly at: number; readonly data: Buffer }
  /** Bytes that the stream gives, from a place in them. `data` are the same bytes, for where the stream is past it. */
  | {
      readonly kind: 'take'
      readonly bytes: number
      readonly from: number
      readonly stream: StreamPlan
      readonly data: Buffer
    }

/** A payload that is encoded again, and what goes into it piece by piece. */
export interface StreamPlan {
  readonly encoding: Encoding
  readonly feeds: readonly Feed[]
}

export interface Feed {
  readonly items: readonly Item[]
  readonly bytes: number
  /** Encoded bytes that this piece gives. */
  readonly made: number
}

/** A part of an item. */
export function cutItem(item: Item, from: number, bytes: number): Item {
  switch (item.kind) {
    case 'zero':
      return { ...item, bytes }
    case 'literal':
      return { ...item, bytes, data: item.data.subarray(from, from + bytes) }
    case 'base':
      return {
        ...item,
        bytes,
        at: item.at + from,
        ...(item.difference && { difference: item.difference.subarray(from, from + bytes) }),
      }
    case 'moved':
      return cutMoved(item, from, bytes)
    case 'new':
      return { ...item, bytes, at: item.at + from, data: item.data.subarray(from, from + bytes) }
    case 'take':
      return { ...item, bytes, from: item.from + from, data: item.data.subarray(from, from + bytes) }
  }
}

export function cutMoved(
  item: Item & { kind: 'moved' },
  from: number,
  bytes: number,
): Item & { kind: 'moved' } {
  const { at, aim, old, data } = item
  return {
    ...item,
    bytes,
    at: at + from,
    aim: { ...aim, oldAt: aim.oldAt + from, nowAt: aim.nowAt + from },
    old: old.subarray(from, from + bytes),
    data: data.subarray(from, from + bytes),
  }
}

/** Items in order, of which any run can be had. */
export interface ItemList {
  readonly bytes: number
  slice(from: number, bytes: number): Generator<Item, void, undefined>
}

export function listItems(items: readonly Item[]): ItemList {
  const starts = new Float64Array(items.length + 1)
  for (const [index, item] of items.entries()) starts[index + 1] = (starts[index] ?? 0) + item.bytes
  const bytes = starts[items.length] ?? 0

  function* slice(from: number, length: number): Generator<Item, void, undefined> {
    for (let index = lastStart(items.length, from, (at) => starts[at]), done = 0; done < length; index++) {
      const item = items[index]
      if (item === undefined) throw new RangeError(`items end at ${bytes}, wanted ${from + length}`)
      const skip = from + done - (starts[index] ?? 0)
      const step = Math.min(item.bytes - skip, length - done)
      yield skip === 0 && step === item.bytes ? item : cutItem(item, skip, step)
      done += step
    }
  }

  return { bytes, slice }
}
