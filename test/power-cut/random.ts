/** Numbers that look random and are the same for the same seed. */
export interface Random {
  /** A whole number from 0 to `bound` - 1. */
  below(bound: number): number
  chance(probability: number): boolean
}

const TWO_TO_32 = 2 ** 32

/** Mulberry32, by Tommy Ettinger (public domain): 32 bits of state are plenty for choosing what to test. */
export function seededRandom(seed: number): Random {
  let state = seed | 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return (mixed ^ (mixed >>> 14)) >>> 0
  }
  return {
    below: (bound) => Math.floor((next() / TWO_TO_32) * bound),
    chance: (probability) => next() / TWO_TO_32 < probability,
  }
}

/** A seed of its own for each name and number below one seed: parts of a run can be repeated alone. */
export function seedFor(seed: number, name: string, number: number): number {
  let hash = seed ^ Math.imul(number + 1, 0x9e3779b1)
  for (const char of name) hash = Math.imul(hash ^ char.charCodeAt(0), 0x01000193)
  return hash
}
