import { describe, expect, test } from 'vitest'
import { limitRate } from '../../src/host/rate-limit.ts'
import { noise } from '../support/cli.ts'

/** A clock that only waiting moves on. */
function makeClock() {
  const clock = {
    nowMs: 0,
    waits: [] as number[],
    monotonicMs: () => clock.nowMs,
    sleep: async (ms: number) => {
      clock.waits.push(ms)
      clock.nowMs += ms
    },
  }
  return clock
}

async function* pieces(...sizes: number[]): AsyncGenerator<Uint8Array> {
  for (const [index, size] of sizes.entries()) yield noise(size, index)
}

describe('a limited source', () => {
  test.each([
    ['one large piece', 1000, [10_000]],
    ['many small ones', 1000, Array.from({ length: 1000 }, () => 10)],
    ['a piece larger than a second', 100_000, [1_000_000]],
    ['less than a byte at a time', 1, [10]],
  ])('brings the same bytes, as many a second as it may: %s', async (_, rate, sizes) => {
    const clock = makeClock()
    const came: Buffer[] = []
    const wanted: Buffer[] = []
    for await (const piece of pieces(...sizes)) wanted.push(Buffer.from(piece))
    let bytes = 0
    for await (const part of limitRate(pieces(...sizes), rate, clock)) {
      came.push(Buffer.from(part))
      bytes += part.length
      expect(bytes).toBeLessThanOrEqual((clock.nowMs * rate) / 1000 + 0.001)
    }
    expect(Buffer.concat(came).equals(Buffer.concat(wanted))).toBe(true)
    expect(clock.nowMs).toBeCloseTo((bytes / rate) * 1000, 3)
  })

  test('comes evenly: nobody waits longer than a quarter of a second at a time', async () => {
    const clock = makeClock()
    for await (const part of limitRate(pieces(1_000_000), 100_000, clock))
      expect(part.length).toBeLessThanOrEqual(25_000)
    expect(Math.max(...clock.waits)).toBeLessThanOrEqual(250)
  })

  test('makes up for a slow reader, but not for a long pause', async () => {
    const clock = makeClock()
    let bytes = 0
    for await (const part of limitRate(pieces(10_000), 1000, clock)) {
      bytes += part.length
      if (bytes === 1000) clock.nowMs += 60_000
    }
    // Of the minute only a quarter of a second is made up for.
    expect(clock.nowMs).toBeCloseTo(60_000 + 10_000 - 250, 3)
  })

  test('that is left early lets its source go', async () => {
    let released = false
    async function* endless(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) yield Buffer.alloc(100)
      } finally {
        released = true
      }
    }
    for await (const part of limitRate(endless(), 1000, makeClock())) if (part.length > 0) break
    expect(released).toBe(true)
  })

  test('that is ended by a signal does not wait any longer', async () => {
    const stop = new AbortController()
    const clock = {
      monotonicMs: () => 0,
      sleep: async (_: number, signal?: AbortSignal) => {
        stop.abort()
        signal?.throwIfAborted()
      },
    }
    const reading = limitRate(pieces(1000), 1, clock, stop.signal).next()
    await expect(reading).rejects.toMatchObject({ name: 'AbortError' })
  })
})
