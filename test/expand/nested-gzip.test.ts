import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { blockCodecs } from '../../src/host/codecs.ts'
import { pipe, prose } from './programs.ts'

const HEADER_BYTES = 10
const TRAILER_BYTES = 8
const codecs = blockCodecs()

/** What the program puts between header and trailer. */
function deflated(content: Buffer, level: number): Buffer {
  return pipe('gzip', ['-n', `-${level}`], content).subarray(HEADER_BYTES, -TRAILER_BYTES)
}

/** Runs, text, noise and repetitions: matches of all lengths and distances, and blocks of all three forms. */
const part = fc.oneof(
  fc.record({ byte: fc.nat(255), bytes: fc.nat(70_000) }).map(({ byte, bytes }) => Buffer.alloc(bytes, byte)),
  fc.record({ seed: fc.nat(), bytes: fc.nat(150_000) }).map(({ seed, bytes }) => prose(bytes, seed)),
  fc
    .uint8Array({ maxLength: 3000 })
    .map((noise) => Buffer.concat([noise, prose(500), Buffer.alloc(40_000), noise])),
  fc.uint8Array({ maxLength: 40_000, size: 'max' }).map((noise) => Buffer.from(noise)),
)

describe('what GNU gzip writes', () => {
  test('is what the codec makes, at every level', async () => {
    const contents = fc.array(part, { maxLength: 5 }).map((parts) => Buffer.concat(parts))
    await fc.assert(
      fc.asyncProperty(contents, fc.integer({ min: 1, max: 9 }), async (content, level) => {
        const { stored } = await codecs.encode({ codec: 'gzip', params: [level] }, content)
        expect(stored.equals(deflated(content, level))).toBe(true)
        const back = Buffer.alloc(content.length)
        codecs.decode('gzip', stored, back)
        expect(back.equals(content)).toBe(true)
      }),
      { numRuns: 60 },
    )
  })

  test.each([1, 1000, 65536])('is the same from pieces of %i bytes', async (pieceBytes) => {
    const content = prose(pieceBytes === 1 ? 3000 : 400_000)
    const encoder = codecs.openEncoder({ codec: 'gzip', params: [6] })
    const made: Buffer[] = []
    for (let at = 0; at < content.length; at += pieceBytes) {
      const piece = content.subarray(at, at + pieceBytes)
      made.push(await encoder.push(piece, at + pieceBytes >= content.length))
    }
    encoder.close()
    expect(Buffer.concat(made).equals(deflated(content, 6))).toBe(true)
  })
})
