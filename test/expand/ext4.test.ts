import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { expandBytes, hasTool, make, makeTree, mismatches, tablesOf } from './real-images.ts'

let dir: string
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'pine-expand-'))
  makeTree(join(dir, 'tree'))
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

function build(options: string): Buffer {
  const out = join(dir, 'image')
  rmSync(out, { force: true })
  const args = [
    '-q',
    '-t',
    'ext4',
    ...options.split(' ').filter(Boolean),
    '-d',
    join(dir, 'tree'),
    out,
    '48M',
  ]
  return make(out, ['mke2fs', ...args])
}

describe.skipIf(!hasTool('mke2fs'))('ext4', () => {
  test.each([
    '',
    '-b 1024',
    '-b 4096',
    '-O ^has_journal',
    '-O ^64bit,^metadata_csum',
    '-O ^flex_bg -b 1024',
    '-I 128',
  ])('%s: one unit, and its files are those of the tree', async (options) => {
    const expanded = await expandBytes(build(options))
    expect(expanded.image).toMatchObject({ fs: 'ext4', units: [{ offset: 0, stored: 48 * 1024 * 1024 }] })
    expect(mismatches(expanded, join(dir, 'tree'))).toEqual([])
    expect(tablesOf(expanded)).toEqual(['#directories', '#inodes', '#bitmaps', '#groups'])
  })

  test('holes are not in the image', async () => {
    const { image } = await expandBytes(build(''))
    const sparse = image.files.find(({ path }) => path === 'sparse')
    expect(sparse?.pieces.map(({ at }) => at === -1)).toEqual([true, false, true, false, true])
  })
})
