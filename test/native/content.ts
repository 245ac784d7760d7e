import { spawnSync } from 'node:child_process'

/** Random numbers below a bound, the same on every run. */
export function numbers(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

type Fill = (part: Buffer, before: Buffer, next: (below: number) => number) => void

const FILLS: readonly Fill[] = [
  function text(part, _, next) {
    const letters = 1 + next(26)
    for (let i = 0; i < part.length; i++) part[i] = 97 + next(letters)
  },
  function table(part, _, next) {
    for (let i = 0; i + 1 < part.length; i += 4) part.set([i >> 6, next(3)], i)
  },
  function noise(part, _, next) {
    for (let i = 0; i < part.length; i++) part[i] = next(256)
  },
  function repetition(part, before, next) {
    part.set(before.subarray(next(before.length)).subarray(0, part.length))
  },
  function zeros() {},
]

/** Like files of a system: all of the above in turn. */
export function systemBytes(bytes: number, seed = 1): Buffer {
  const next = numbers(seed)
  const content = Buffer.alloc(bytes)
  for (let at = 0; at < bytes; ) {
    const part = content.subarray(at, at + 1 + next(20_000))
    FILLS[next(FILLS.length)]?.(part, content.subarray(0, at), next)
    at += part.length
  }
  return content
}

/** Cuts into pieces of random lengths below `most`; the last may be empty. */
export function* pieces(bytes: Buffer, most: number): Generator<{ piece: Buffer; last: boolean }> {
  const next = numbers(most)
  for (let at = 0; ; ) {
    const piece = bytes.subarray(at, at + next(most))
    at += piece.length
    const last = at === bytes.length
    yield { piece, last }
    if (last) return
  }
}

/** What a program makes of its input; undefined when it is not installed. */
export function piped(program: string, args: readonly string[], input: Buffer): Buffer | undefined {
  const run = spawnSync(program, args, { input, maxBuffer: 2 ** 30 })
  if (run.error !== undefined) return undefined
  if (run.status !== 0) throw new Error(`${program} failed: ${run.stderr}`)
  return run.stdout
}
