import type { Span } from '../bundle/manifest.ts'
import type { Region } from '../core/region.ts'

/**
 * A region whose bytes are those of `region` in another order: first span, second span... What comes last may then copy
 * from what lies after it in the image. `spans` cover the image once.
 */
export function inOrder(region: Region, spans: readonly Span[] | undefined): Region {
  if (spans === undefined) return region
  const starts: number[] = []
  let bytes = 0
  for (const span of spans) {
    starts.push(bytes)
    bytes += span.bytes
  }

  async function pieces(
    position: number,
    length: number,
    action: (at: number, done: number, step: number) => Promise<void>,
  ): Promise<void> {
    for (const [index, span] of spans?.entries() ?? []) {
      const start = starts[index] ?? 0
      const from = Math.max(position, start)
      const step = Math.min(position + length, start + span.bytes) - from
      if (step > 0) await action(span.offset + from - start, from - position, step)
    }
  }

  return {
    name: region.name,
    bytes,
    read: (into, position) =>
      pieces(position, into.length, (at, done, step) => region.read(into.subarray(done, done + step), at)),
    write: (from, position) =>
      pieces(position, from.length, (at, done, step) => region.write(from.subarray(done, done + step), at)),
    flush: region.flush,
    dropCache: region.dropCache,
  }
}
