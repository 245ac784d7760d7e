import { formatBytes } from '../core/format.ts'
import type { Clock } from './host.ts'
import type { Reading } from './http-answer.ts'
import type { HttpAnswer } from './http-connection.ts'
import { Interruption } from './http-failure.ts'
import type { Patience } from './http-patience.ts'

interface Watch {
  patience: Patience
  clock: Clock
}

/**
 * The part of a body that is wanted; what a server sends beyond it is left there. Throws `Interruption`, also for a server
 * that sends next to nothing.
 */
export async function* readBody(
  answer: HttpAnswer,
  { skip, bytes = Number.POSITIVE_INFINITY }: Reading,
  watch: Watch,
): AsyncGenerator<Uint8Array, void, undefined> {
  const came = speedFloor(watch)
  for (let position = -skip; position < bytes; ) {
    const asked = watch.clock.monotonicMs()
    const piece = await answer.read()
    if (piece === undefined) return
    came(piece.length, asked)
    const wanted = piece.subarray(Math.max(0, -position), bytes - position)
    position += piece.length
    if (wanted.length > 0) yield wanted
  }
}

/** Only the time spent waiting counts: whoever reads may be slow. */
function speedFloor({ patience: { windowMs, floorBytes }, clock }: Watch) {
  let waitedMs = 0
  let cameBytes = 0
  return (bytes: number, askedMs: number): void => {
    waitedMs += clock.monotonicMs() - askedMs
    cameBytes += bytes
    if (waitedMs < windowMs) return
    const text = `only ${formatBytes(cameBytes)} came in ${windowMs / 1000} s`
    if (cameBytes < floorBytes) throw new Interruption(text, { stalled: true })
    waitedMs = 0
    cameBytes = 0
  }
}
