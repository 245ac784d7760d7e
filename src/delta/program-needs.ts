import { type FeedOp, malformed, type PackOp } from './program.ts'

/** What a program asks of the host that runs it, in bytes of memory where nothing else is said. */
export interface ProgramNeeds {
  /** Content of a packed block and its stored bytes. */
  readonly packBytes: number
  /** What is waiting in streams, the content of a feed, and of those that it is fed in. */
  readonly streamBytes: number
  /** For decoding a block of the base, with the blocks it is in. */
  readonly baseBlockBytes: number
  /** For decoding a block of the new image. */
  readonly selfBlockBytes: number
  /** The longest content of a block, for each encoding that blocks use. */
  readonly packContent: ReadonlyMap<number, number>
  /** The same for streams that get all of their content in one feed. */
  readonly wholeContent: ReadonlyMap<number, number>
  /** How many other streams are in use at once, for each encoding. */
  readonly openStreams: ReadonlyMap<number, number>
}

/** Feeds in feeds. */
const MAX_FEED_DEPTH = 8

export interface NeedsCount {
  pack(op: PackOp, available: number): void
  /** A block of the image is copied from. */
  readBlock(): void
  /** Before the content of a feed is made; `waiting` is what came out of all streams and was not taken. */
  beginFeed(bytes: number, waiting: number): void
  /** Once it is made and encoded. */
  endFeed(op: FeedOp, stream: { readonly encoding: number; readonly isFed: boolean }, waiting: number): void
  end(): ProgramNeeds
}

export function countNeeds(baseBlockBytes: number): NeedsCount {
  const most = { packBytes: 0, streamBytes: 0, selfBlockBytes: 0 }
  const packContent = new Map<number, number>()
  const wholeContent = new Map<number, number>()
  const streams = countOpen()
  /** Content of the feeds that are being made, each in the one before. */
  const feeds: number[] = []
  let blockBytes = 0

  function holdFeeds(waiting: number): void {
    most.streamBytes = Math.max(most.streamBytes, waiting + feeds.reduce((sum, bytes) => sum + bytes, 0))
  }

  function endFeed(...[op, { encoding, isFed }, waiting]: Parameters<NeedsCount['endFeed']>): void {
    holdFeeds(waiting)
    feeds.pop()
    if (op.last && !isFed) raise(wholeContent, encoding, op.bytes)
    else if (op.last) streams.close(encoding)
    else if (!isFed) streams.open(encoding)
  }

  return {
    pack({ encoding, consumed, stored }, available) {
      most.packBytes = Math.max(most.packBytes, available + stored)
      blockBytes = Math.max(blockBytes, consumed + stored)
      raise(packContent, encoding, available)
    },
    readBlock() {
      most.selfBlockBytes = blockBytes
    },
    beginFeed(bytes, waiting) {
      if (feeds.length === MAX_FEED_DEPTH) throw malformed(`has feeds more than ${MAX_FEED_DEPTH} deep`)
      feeds.push(bytes)
      holdFeeds(waiting)
    },
    endFeed,
    end: () => ({
      ...most,
      baseBlockBytes,
      packContent,
      wholeContent,
      openStreams: streams.most,
    }),
  }
}

function raise(most: Map<number, number>, encoding: number, value: number): void {
  most.set(encoding, Math.max(value, most.get(encoding) ?? 0))
}

function countOpen() {
  const open = new Map<number, number>()
  const most = new Map<number, number>()
  const add = (encoding: number, step: 1 | -1): void => {
    const count = (open.get(encoding) ?? 0) + step
    open.set(encoding, count)
    raise(most, encoding, count)
  }
  return {
    most,
    open: (encoding: number): void => add(encoding, 1),
    close: (encoding: number): void => add(encoding, -1),
  }
}
