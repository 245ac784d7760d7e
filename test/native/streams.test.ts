import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import type { Encoding, StreamEncoder } from '../../src/core/encoding.ts'
import { blockCodecs } from '../../src/host/codecs.ts'
import { native } from '../../src/host/native.ts'
import { pieces, piped, systemBytes } from './content.ts'

const MIB = 1024 * 1024
const codecs = blockCodecs()
const content = systemBytes(20 * MIB + 12_345)

const folder = mkdtempSync(join(tmpdir(), 'pine-streams-'))
afterAll(() => rmSync(folder, { recursive: true }))

async function streamed(encoder: StreamEncoder, bytes: Buffer, most: number): Promise<Buffer[]> {
  const parts: Buffer[] = []
  for (const { piece, last } of pieces(bytes, most)) parts.push(await encoder.push(piece, last))
  encoder.close()
  return parts
}

const jobs = (level: number, flags: number): Encoding => ({ codec: 'zstd-mt', params: [level, flags] })

describe('zstd-mt is what the program writes', () => {
  // A job is four windows: 2 MiB at level 1, 8 MiB at 3, 16 MiB at 9.
  test.each([
    [1, 0],
    [1, 1],
    [1, 300_000],
    [1, 2 * MIB],
    [1, 2 * MIB + 1],
    [1, 6 * MIB],
    [3, 20 * MIB],
    [6, 10 * MIB],
    [9, content.length],
    [13, 3 * MIB],
    [17, 2 * MIB],
    [19, MIB],
  ])('from a pipe: level %i, %i bytes', async (level, bytes) => {
    const input = content.subarray(0, bytes)
    const theirs = piped('zstd', ['-q', `-${level}`, '-T0', '-c'], input)
    if (theirs === undefined) return
    const ours = Buffer.concat(await streamed(codecs.openEncoder(jobs(level, 3)), input, 3 * MIB))
    expect(ours.equals(theirs)).toBe(true)
    const into = Buffer.alloc(bytes)
    codecs.decode('zstd-mt', ours, into)
    expect(into.equals(input)).toBe(true)
  })

  // Up to 512 KiB the program uses no workers.
  test.each([
    [1, 0],
    [1, 524_288],
    [1, 524_289],
    [1, 4 * MIB],
    [1, 4 * MIB + 1],
    [3, 300_000],
    [9, 17 * MIB],
    [19, 100_000],
  ])('from a file: level %i, %i bytes', async (level, bytes) => {
    const input = content.subarray(0, bytes)
    const path = join(folder, 'input')
    writeFileSync(path, input)
    for (const flags of [0, 1]) {
      const theirs = piped(
        'zstd',
        ['-q', `-${level}`, flags === 0 ? '--no-check' : '--check', '-c', path],
        input,
      )
      if (theirs === undefined) return
      expect((await codecs.encode(jobs(level, flags), input)).stored.equals(theirs)).toBe(true)
    }
  })
})

describe('zstd-mt', () => {
  test('does not depend on the pieces, and each push gives the same again', async () => {
    const whole = (await codecs.encode(jobs(1, 3), content)).stored
    for (const most of [100_000, 5 * MIB]) {
      const parts = await streamed(codecs.openEncoder(jobs(1, 3)), content, most)
      expect(Buffer.concat(parts).equals(whole)).toBe(true)
      const again = await streamed(codecs.openEncoder(jobs(1, 3)), content, most)
      expect(again.map(({ length }) => length)).toEqual(parts.map(({ length }) => length))
    }
  })

  test('with the length in front, streams when the length is said', async () => {
    const encoder = native().openEncoder(7, [3, 1], 9 * MIB)
    const parts: Buffer[] = []
    for (let at = 0; at < 9 * MIB; at += MIB) {
      parts.push(await native().streamPush(encoder, content.subarray(at, at + MIB), at === 8 * MIB))
    }
    const whole = await codecs.encode(jobs(3, 1), content.subarray(0, 9 * MIB))
    expect(Buffer.concat(parts).equals(whole.stored)).toBe(true)
  })

  test('refuses more or less than was said, and more after the end', async () => {
    const core = native()
    const more = core.openEncoder(7, [3, 1], 10)
    await expect(core.streamPush(more, Buffer.alloc(11), true)).rejects.toThrow('longer')
    const less = core.openEncoder(7, [3, 1], 10)
    await expect(core.streamPush(less, Buffer.alloc(9), true)).rejects.toThrow('shorter')
    const ended = codecs.openEncoder(jobs(3, 3))
    await ended.push(Buffer.alloc(10), true)
    await expect(ended.push(Buffer.alloc(10), true)).rejects.toThrow('ended')
  })

  test('keeps one window of content, not a job', async () => {
    const piece = Buffer.alloc(MIB, 'pine ')
    const before = process.memoryUsage.rss()
    const encoder = codecs.openEncoder(jobs(9, 3))
    let most = 0
    for (let i = 0; i < 50; i++) {
      await encoder.push(piece, i === 49)
      most = Math.max(most, process.memoryUsage.rss() - before)
    }
    encoder.close()
    expect(most).toBeLessThan(45e6)
  })
})

test('gzip in pieces is gzip at once', async () => {
  const input = content.subarray(0, MIB)
  const gzip: Encoding = { codec: 'gzip', params: [9] }
  const whole = (await codecs.encode(gzip, input)).stored
  expect(Buffer.concat(await streamed(codecs.openEncoder(gzip), input, 300_000)).equals(whole)).toBe(true)
})

test('other codecs take their content in one piece', async () => {
  const encoder = codecs.openEncoder({ codec: 'lz4', params: [] })
  await expect(encoder.push(Buffer.from('pine'), false)).rejects.toThrow('one piece')
  const { stored } = await codecs.encode({ codec: 'lz4', params: [] }, Buffer.from('pine'))
  expect((await encoder.push(Buffer.from('pine'), true)).equals(stored)).toBe(true)
  encoder.close()
})

describe('handles', () => {
  const core = native()

  test('work on one push at a time', async () => {
    const encoder = core.openEncoder(7, [9, 3], -1)
    const running = core.streamPush(encoder, content, false)
    expect(() => core.streamPush(encoder, content, true)).toThrow(expect.objectContaining({ code: 'EBUSY' }))
    expect(() => core.streamClose(encoder)).toThrow(expect.objectContaining({ code: 'EBUSY' }))
    await running
    core.streamClose(encoder)
    core.streamClose(encoder)
    expect(() => core.streamPush(encoder, content, true)).toThrow('closed')
  })

  test('are not taken for one another', () => {
    const unpacker = core.openUnpacker(1, 65_536)
    expect(() => core.streamPush(unpacker, content, true)).toThrow(TypeError)
    expect(() => core.streamPush({}, content, true)).toThrow(TypeError)
    expect(() => core.streamPush(core.createHasher(), content, true)).toThrow(TypeError)
    expect(() => core.unpackerUnpack(core.openEncoder(7, [1, 3], -1), content, content)).toThrow(TypeError)
    expect(() => core.openEncoder(0, [1, 3], -1)).toThrow('does not stream')
  })

  test('may be forgotten while they work', async () => {
    const work = Array.from({ length: 8 }, () =>
      core.streamPush(core.openPacker(1, 1, 65_536, -1, -1, -1), content.subarray(0, MIB), false),
    )
    const lengths = (await Promise.all(work)).map(({ length }) => length)
    expect(new Set(lengths).size).toBe(1)
  })
})
