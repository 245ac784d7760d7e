import type { Item, StreamPlan } from './item.ts'
import type { OpList } from './op-list.ts'

interface StreamsParts {
  readonly ops: OpList
  /** Emits what goes into a stream. */
  readonly emit: (item: Item) => void
  readonly literal: (data: Buffer) => void
}

interface Streams {
  /** Emits bytes of a payload. */
  take(item: Item & { kind: 'take' }): void
}

interface OpenStream {
  readonly plan: StreamPlan
  readonly index: number
  readonly isSecond: boolean
  fed: number
  /** Bytes it has given, and how many of them are behind us. */
  made: number
  passed: number
}

/** So few bytes are sent again where a stream is past them: blocks overlap by less. */
const SHORT_BYTES = 4096
/** And for so few bytes no more of a payload is made: the end of a file may lie before its start. */
const FAR_BYTES = 1024 * 1024

/** Feeds streams piece by piece, so that no more than one piece waits. */
export function startStreams({ ops, emit, literal }: StreamsParts): Streams {
  const streams = new WeakMap<StreamPlan, OpenStream>()
  let count = 0

  function take(item: Item & { kind: 'take' }): void {
    const { stream: plan, from, bytes, data } = item
    const stream = streams.get(plan)
    const passed = stream?.passed ?? 0
    const overlap = Math.max(0, passed - from)
    const toMake = overlap > SHORT_BYTES ? from : from - passed
    const isWorth = bytes > SHORT_BYTES || toMake <= FAR_BYTES
    if (isWorth && overlap <= SHORT_BYTES) takeBehind(stream ?? open(plan, false), item, overlap)
    else if (isWorth && stream?.isSecond === false) takeBehind(openAgain(stream), item, 0)
    else literal(data)
  }

  function takeBehind(
    stream: OpenStream,
    { from, bytes, data }: Item & { kind: 'take' },
    overlap: number,
  ): void {
    const sent = Math.min(overlap, bytes)
    if (sent > 0) literal(data.subarray(0, sent))
    if (sent === bytes) return
    pass('drop', from + sent - stream.passed, stream)
    pass('take', bytes - sent, stream)
  }

  function pass(kind: 'drop' | 'take', bytes: number, stream: OpenStream): void {
    for (let done = 0; done < bytes; ) {
      if (stream.made === stream.passed) feed(stream)
      const step = Math.min(bytes - done, stream.made - stream.passed)
      if (step > 0) ops.add({ kind, bytes: step, stream: stream.index })
      stream.passed += step
      done += step
    }
  }

  function open(plan: StreamPlan, isSecond: boolean): OpenStream {
    ops.add({ kind: 'open', encoding: ops.numberOf(plan.encoding) })
    const stream = { plan, index: count++, isSecond, fed: 0, made: 0, passed: 0 }
    streams.set(plan, stream)
    return stream
  }

  /** From the start; nothing waits in the first one any longer. */
  function openAgain(first: OpenStream): OpenStream {
    pass('drop', first.made - first.passed, first)
    return open(first.plan, true)
  }

  function feed(stream: OpenStream): void {
    const { plan, index } = stream
    const next = plan.feeds[stream.fed]
    if (next === undefined) throw new Error('a stream gives less than is taken')
    stream.fed += 1
    const isLast = stream.fed === plan.feeds.length
    ops.add({ kind: 'feed', bytes: next.bytes, stream: index, made: next.made, last: isLast })
    for (const inner of next.items) emit(inner)
    ops.fence()
    stream.made += next.made
  }

  return { take }
}
