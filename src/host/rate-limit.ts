import type { ByteSource } from '../core/region.ts'
import type { Clock } from './host.ts'

/** What was not used for longer than that is not made up for: no burst after a pause. */
const BURST_MS = 250

/** The same bytes, at most that many a second, in pieces that are small enough to come evenly. */
export async function* limitRate(
  source: ByteSource,
  bytesPerSecond: number,
  clock: Clock,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const most = Math.max(1, Math.floor((bytesPerSecond * BURST_MS) / 1000))
  let dueMs = clock.monotonicMs()
  for await (const piece of source) {
    for (let at = 0; at < piece.length; at += most) {
      const part = piece.subarray(at, at + most)
      dueMs = Math.max(dueMs, clock.monotonicMs() - BURST_MS) + (part.length * 1000) / bytesPerSecond
      const waitMs = dueMs - clock.monotonicMs()
      if (waitMs > 0) await clock.sleep(waitMs, signal)
      yield part
    }
  }
}
