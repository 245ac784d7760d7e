import { PineError } from '../core/error.ts'

/** Appends `value` (0 to 2^53 - 1), seven bits a byte, lowest first, the top bit set on all but the last. */
export function writeVarint(into: number[], value: number): void {
  let rest = value
  while (rest >= 0x80) {
    into.push((rest % 0x80) | 0x80)
    rest = Math.floor(rest / 0x80)
  }
  into.push(rest)
}

/** Folds the sign into the lowest bit, so that small steps either way stay short. */
export function zigzag(value: number): number {
  return value < 0 ? -value * 2 - 1 : value * 2
}

export function unzigzag(value: number): number {
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2
}

export interface VarintReader {
  next(): number
  /** Where the next number starts. */
  position(): number
}

/** Reads numbers between `start` and `end`. Throws `BUNDLE_MALFORMED` for a number that is cut, too large, or not in its shortest form. */
export function readVarints(bytes: Uint8Array, start: number, end: number): VarintReader {
  let at = start
  function nextByte(): number {
    const byte = at < end ? bytes[at++] : undefined
    if (byte === undefined) throw malformed('ends in the middle of an operation')
    return byte
  }
  function next(): number {
    let value = 0
    for (let scale = 1; ; scale *= 0x80) {
      const byte = nextByte()
      value += (byte & 0x7f) * scale
      if (value > Number.MAX_SAFE_INTEGER) throw malformed('holds a number above 2^53')
      if (byte === 0 && scale > 1) throw malformed('holds a number with padding')
      if (byte < 0x80) return value
    }
  }
  return { next, position: () => at }
}

function malformed(what: string): PineError {
  return new PineError('BUNDLE_MALFORMED', `a segment ${what}`)
}
