import type { Aim } from '../core/codecs.ts'
import { type AimOp, malformed } from './program.ts'

/** What the last `map` and `aim` said, and how far content has gone since. */
export interface AimTrack {
  setMap(map: Float64Array): void
  set(op: AimOp): void
  /** Address of the next byte; the bytes after it are content that is made or passed over now. */
  pass(bytes: number): number
  /** For bytes at `from` of the base space that are made at address `nowAt`. */
  at(from: number, nowAt: number): Aim
}

export function trackAim(): AimTrack {
  let map: Float64Array | undefined
  let last: AimOp | undefined
  let next = 0
  return {
    setMap(given) {
      map = given
    },
    set(op) {
      last = op
      next = op.nowAt
    },
    pass(bytes) {
      const at = next
      next += bytes
      return at
    },
    at(from, nowAt) {
      if (map === undefined || last === undefined) throw malformed('adjusts bytes without saying how')
      return { shape: last.shape, map, oldAt: from + last.ahead, nowAt, bare: false }
    },
  }
}
