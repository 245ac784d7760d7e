import { describe, expect, test } from 'vitest'
import type { Encoding } from '../../src/core/encoding.ts'
import { openSpace } from '../../src/delta/block-space.ts'
import { codecs, noise } from '../support/bundles.ts'
import { memoryRegion } from '../support/memory-region.ts'

const MiB = 1024 * 1024
const LZ4: Encoding = { codec: 'lz4hc', params: [9] }

/** Text that compresses, and then noise that does not. */
function mixed(bytes: number, seed: number): Buffer {
  const text = Buffer.from('the quick brown fox jumps over the lazy dog '.repeat(Math.ceil(bytes / 88)))
  return Buffer.concat([text.subarray(0, bytes / 2), noise(bytes / 2, seed)])
}

async function spaceOf(contents: readonly Buffer[], encoding: Encoding) {
  const stored = await Promise.all(
    contents.map(async (content) => (await codecs.encode(encoding, content)).stored),
  )
  const region = memoryRegion(Buffer.concat(stored))
  let decoded = 0
  const counting = {
    release: codecs.release,
    decode: (...args: Parameters<typeof codecs.decode>) => {
      decoded += 1
      codecs.decode(...args)
    },
  }
  const damaged = (cause: unknown) => new Error('damaged', { cause })
  const space = openSpace({ region, bytes: region.bytes, codecs: counting, damaged })
  let from = 0
  for (const [index, { length }] of stored.entries()) {
    const content = contents[index]?.length ?? 0
    space.add({ codec: encoding.codec, runs: [{ from, bytes: length }], content })
    from += length
  }
  return { space, start: region.bytes, decoded: () => decoded }
}

describe.each<[string, Encoding]>([
  ['lz4, which is decoded where it lies', LZ4],
  ['zstd, which is not', { codec: 'zstd', params: [3, 0] }],
])('blocks of %s', (_, encoding) => {
  test.each([100, 65_536, 300_000, 8 * MiB])('of %d bytes are what went into them', async (bytes) => {
    const contents = [mixed(bytes, 1), noise(bytes, 2), mixed(bytes, 3)]
    const { space, start } = await spaceOf(contents, encoding)
    const whole = Buffer.alloc(3 * bytes)
    await space.read(whole, start)
    expect(whole.equals(Buffer.concat(contents))).toBe(true)
    const across = Buffer.alloc(100)
    await space.read(across, start + bytes - 50)
    expect(across.equals(whole.subarray(bytes - 50, bytes + 50))).toBe(true)
  })
})

test('small blocks are kept, and a large one is forgotten when it is asked to be', async () => {
  const { space, start, decoded } = await spaceOf([mixed(65_536, 1), mixed(8 * MiB, 2)], LZ4)
  const into = Buffer.alloc(10)
  await space.read(into, start)
  space.trim()
  await space.read(into, start + 20)
  expect(decoded()).toBe(1)
  await space.read(into, start + 65_536)
  await space.read(into, start + 65_536 + 7 * MiB)
  expect(decoded()).toBe(2)
  space.trim()
  await space.read(into, start + 65_536)
  expect(decoded()).toBe(3)
})
