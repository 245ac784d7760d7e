import { describe, expect, test } from 'vitest'
import type { Op } from '../../src/delta/program.ts'
import type { StreamPlan } from '../../src/diff/item.ts'
import type { OpList } from '../../src/diff/op-list.ts'
import { startStreams } from '../../src/diff/streams.ts'

const KIB = 1024
const MIB = 1024 * KIB

/** A payload that comes out of the encoder in `pieces` of 64 KiB, each made of 100 bytes. */
function planOf(pieces: number): StreamPlan {
  const feed = { items: [], bytes: 100, made: 64 * KIB }
  return { encoding: { codec: 'gzip', params: [9] }, feeds: Array.from({ length: pieces }, () => feed) }
}

/** What becomes of taking these parts of one payload, feeds left out. */
function taken(plan: StreamPlan, parts: readonly (readonly [from: number, bytes: number])[]): string[] {
  const out: string[] = []
  const ops: OpList = {
    add: (op: Op) => {
      if (op.kind === 'open') out.push('open')
      if (op.kind === 'take' || op.kind === 'drop') out.push(`${op.kind} ${op.bytes} of ${op.stream}`)
    },
    aim: () => undefined,
    fence: () => undefined,
    numberOf: () => 0,
    end: () => Buffer.alloc(0),
  }
  const literal = (data: Buffer): void => void out.push(`literal ${data.length}`)
  const streams = startStreams({ ops, literal, emit: () => undefined })
  for (const [from, bytes] of parts)
    streams.take({ kind: 'take', stream: plan, from, bytes, data: Buffer.alloc(bytes) })
  return out
}

describe('parts of a payload', () => {
  test('in order are taken; what lies between them is dropped', () => {
    expect(
      taken(planOf(2), [
        [0, 1000],
        [1000, 1000],
        [5000, 1000],
      ]),
    ).toEqual(['open', 'take 1000 of 0', 'take 1000 of 0', 'drop 3000 of 0', 'take 1000 of 0'])
  })

  test('that overlap a little are sent so far', () => {
    expect(
      taken(planOf(2), [
        [0, 9000],
        [8000, 5000],
        [8904, 4096],
        [8904, 10],
      ]),
    ).toEqual(['open', 'take 9000 of 0', 'literal 1000', 'take 4000 of 0', 'literal 4096', 'literal 10'])
  })

  test('of which the last comes first are taken from two streams, and nothing waits in the first', () => {
    expect(
      taken(planOf(2), [
        [100 * KIB, 20 * KIB],
        [0, 100 * KIB],
      ]),
    ).toEqual([
      ...['open', `drop ${64 * KIB} of 0`, `drop ${36 * KIB} of 0`, `take ${20 * KIB} of 0`],
      `drop ${8 * KIB} of 0`,
      ...['open', `take ${64 * KIB} of 1`, `take ${36 * KIB} of 1`],
    ])
  })

  test('that go back a second time are sent', () => {
    const part = [0, 10_000] as const
    expect(taken(planOf(1), [part, part, part, [10_000, 100]])).toEqual([
      'open',
      'take 10000 of 0',
      `drop ${64 * KIB - 10_000} of 0`,
      'open',
      'take 10000 of 1',
      'literal 10000',
      'take 100 of 1',
    ])
  })

  test('that are small and far from where the stream is are sent, and the stream stays there', () => {
    const end = 40 * 64 * KIB
    expect(
      taken(planOf(40), [
        [end - 4096, 4096],
        [0, 1000],
        [end - 10, 10],
        [1000, 1000],
      ]),
    ).toEqual(['literal 4096', 'open', 'take 1000 of 0', 'literal 10', 'take 1000 of 0'])
  })

  test('that are not small are not too far', () => {
    const ops = taken(planOf(40), [[MIB + 1, 4097]])
    expect(ops[0]).toBe('open')
    expect(ops.at(-1)).toBe('take 4097 of 0')
  })
})
