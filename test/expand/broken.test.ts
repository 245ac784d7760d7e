import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { expandImage } from '../../src/expand/image.ts'
import { blockCodecs } from '../../src/host/codecs.ts'
import { memoryRegion } from '../support/memory-region.ts'
import { hasTool, make, noise, prose } from './real-images.ts'

let dir: string
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'pine-expand-'))
  mkdirSync(join(dir, 'tree/folder'), { recursive: true })
  for (let number = 0; number < 20; number += 1) {
    writeFileSync(join(dir, `tree/folder/file-${number}`), prose(number * 1500, number))
  }
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const TOOLS: Record<string, (tree: string, out: string) => string[]> = {
  squashfs: (tree, out) => ['mksquashfs', tree, out, '-noappend', '-quiet', '-no-progress', '-b', '4K'],
  erofs: (tree, out) => ['mkfs.erofs', '-zlz4hc', '--quiet', out, tree],
  ext4: (tree, out) => [
    'mke2fs',
    '-q',
    '-t',
    'ext4',
    '-b',
    '1024',
    '-O',
    '^has_journal',
    '-d',
    tree,
    out,
    '1M',
  ],
}

const codecs = blockCodecs()

/** The lengths of its units, which must add up to the image whatever it holds; else what was thrown. */
async function unitsCover(bytes: Buffer): Promise<boolean> {
  const { units } = await expandImage(memoryRegion(bytes), codecs)
  let end = 0
  for (const unit of units) {
    if (unit.offset !== end) return false
    end = unit.offset + unit.stored
  }
  return end === bytes.length
}

describe.each(Object.entries(TOOLS))('a broken %s image', (name, command) => {
  test('is read as far as it can be understood, and never fails', async () => {
    const out = join(dir, name)
    const argv = command(join(dir, 'tree'), out)
    if (!hasTool(argv[0] ?? '')) return
    const image = make(out, argv)
    expect(await unitsCover(image)).toBe(true)
    const picks = noise(8 * 400, 42)
    for (let round = 0; round < 400; round += 1) {
      const copy = Buffer.from(image)
      // Tables are at the start of ext4 and erofs and at the end of squashfs.
      const reach = round % 3 === 0 ? 4096 : copy.length
      const from = (picks.readUInt32LE(round * 8) % reach) % copy.length
      const at = name === 'squashfs' && round % 3 !== 0 ? copy.length - 1 - (from % 8192) : from
      const bytes = 1 + ((picks[round * 8 + 4] ?? 0) % 8)
      copy.fill(picks[round * 8 + 5] ?? 0, at, Math.min(copy.length, at + bytes))
      expect(await unitsCover(copy), `round ${round}: ${bytes} bytes at ${at}`).toBe(true)
    }
  })

  test('that was cut is one unit, or has units for what is left', async () => {
    const out = join(dir, name)
    const argv = command(join(dir, 'tree'), out)
    if (!hasTool(argv[0] ?? '')) return
    const image = make(out, argv)
    for (const bytes of [0, 1, 1023, 1500, 4096, 8191, image.length - 1]) {
      expect(await unitsCover(image.subarray(0, bytes)), `${bytes} bytes`).toBe(true)
    }
  })
})

test('bytes that are no file system are one unit without files', async () => {
  const image = await expandImage(memoryRegion(noise(100_000, 3)), codecs)
  expect(image).toEqual({ fs: 'raw', units: [{ offset: 0, stored: 100_000, content: 100_000 }], files: [] })
})

test('a failing disk is no broken file system', async () => {
  const region = memoryRegion(noise(100_000, 3))
  const failing = { ...region, read: async () => Promise.reject(new Error('the disk is gone')) }
  await expect(expandImage(failing, codecs)).rejects.toThrow('the disk is gone')
})
