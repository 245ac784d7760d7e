/** Numbers that are the same for the same seed, on every machine. */
export interface Random {
  /** 0 to `limit` - 1; `limit` is at most 2^32. */
  below(limit: number): number
  /** True once in `times`. */
  once(times: number): boolean
  pick<const T>(items: readonly T[]): T
  bytes(count: number): Buffer
}

/** sfc32 of PractRand: small, fast, without short periods. What is hashed into its state is FNV-1a. */
export function seededRandom(...seed: readonly (string | number)[]): Random {
  const text = seed.join('/')
  let [a, b, c, counter] = [hash(text, 1), hash(text, 2), hash(text, 3), 1]
  const next = (): number => {
    const sum = (a + b + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = ((c << 21) | (c >>> 11)) + sum
    return sum >>> 0
  }
  for (let round = 0; round < 12; round++) next()
  const below = (limit: number): number => Math.floor((next() / 2 ** 32) * limit)
  return {
    below,
    once: (times) => below(times) === 0,
    pick<const T>(items: readonly T[]): T {
      if (items.length === 0) throw new Error('there is nothing to pick from')
      return items[below(items.length)] as T
    },
    bytes: (count) => Buffer.from(Array.from({ length: count }, () => below(256))),
  }
}

function hash(text: string, salt: number): number {
  let value = 0x811c9dc5 ^ salt
  for (let at = 0; at < text.length; at++) value = Math.imul(value ^ text.charCodeAt(at), 0x01000193)
  return value
}

/** Small numbers often, large ones seldom. */
export function few(random: Random, most: number): number {
  let count = 1
  while (count < most && random.once(2)) count++
  return count
}
