import type { Codecs } from '../core/codecs.ts'
import type { Encoding } from '../core/encoding.ts'
import type { Nested, NestedOptions } from '../expand/nested.ts'
import { isAffordable } from './affordable.ts'
import type { Part } from './inside.ts'
import type { Feed, Item, ItemList, StreamPlan } from './item.ts'

/** What a stream is fed at once. */
const FEED_BYTES = 1024 * 1024
/** What is fed as a whole is in a host's memory all at once, with what comes out of it: less than a block of each. */
const MAX_WHOLE_BYTES = 12 * 1024 * 1024

/** Which payloads hosts can be asked to make. */
export function acceptPayload(codecs: Codecs): NonNullable<NestedOptions['accept']> {
  return (encoding, contentBytes) => {
    const most = isStreamed(encoding) ? Number.POSITIVE_INFINITY : MAX_WHOLE_BYTES
    return contentBytes > 0 && contentBytes <= most && isAffordable(codecs, encoding, contentBytes)
  }
}

/** Whether its encoder gives out bytes as it goes, and need not hold all of its content. */
function isStreamed({ codec, params: [, flags = 0] }: Encoding): boolean {
  return codec === 'gzip' || (codec === 'zstd-mt' && (flags & SIZE_UNKNOWN) !== 0)
}

/** Otherwise the length stands in front. */
const SIZE_UNKNOWN = 2

/** The items of what is inside as items of the file: payloads become streams. */
export async function encodeParts(
  content: Buffer,
  { parts, items, codecs }: { parts: readonly Part<Nested>[]; items: ItemList; codecs: Codecs },
): Promise<Item[]> {
  const out: Item[] = []
  for (const { at, stored, inside, bytes, payload } of parts) {
    if (payload === undefined) {
      for (const item of items.slice(inside, bytes)) out.push(item)
      continue
    }
    const stream = await planStream(payload, { items, from: inside, codecs })
    out.push({ kind: 'take', bytes: stored, from: 0, stream, data: content.subarray(at, at + stored) })
  }
  return out
}

/** Pieces for an encoder that gives out bytes as it goes; everything at once for the others. */
async function planStream(
  { encoding, content, stored }: Nested,
  { items, from, codecs }: { items: ItemList; from: number; codecs: Codecs },
): Promise<StreamPlan> {
  const feed = (at: number, bytes: number, made: number): Feed => ({
    ...{ bytes, made },
    items: [...items.slice(from + at, bytes)],
  })
  if (!isStreamed(encoding)) return { encoding, feeds: [feed(0, content.length, stored)] }
  const feeds: Feed[] = []
  const encoder = codecs.openEncoder(encoding)
  try {
    for (let at = 0; at < content.length; at += FEED_BYTES) {
      const piece = content.subarray(at, at + FEED_BYTES)
      const made = await encoder.push(piece, at + piece.length === content.length)
      feeds.push(feed(at, piece.length, made.length))
    }
  } finally {
    encoder.close()
  }
  return { encoding, feeds }
}
