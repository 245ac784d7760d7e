import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { expandBytes, hasTool, make, makeTree, mismatches, prove, tablesOf } from './real-images.ts'

let dir: string
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'pine-expand-'))
  makeTree(join(dir, 'tree'))
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

function build(options: string): Buffer {
  const out = join(dir, 'image')
  const args = ['-noappend', '-quiet', '-no-progress', ...options.split(' ')]
  return make(out, ['mksquashfs', join(dir, 'tree'), out, ...args])
}

describe.skipIf(!hasTool('mksquashfs'))('squashfs', () => {
  test.each([
    ['-comp gzip', { codec: 'zlib', params: [9, 15, 0] }],
    ['-comp gzip -Xcompression-level 4 -Xwindow-size 11', { codec: 'zlib', params: [4, 11, 0] }],
    ['-comp zstd', { codec: 'zstd', params: [15, 0] }],
    ['-comp zstd -Xcompression-level 3 -b 1M', { codec: 'zstd', params: [3, 0] }],
    ['-comp xz', { codec: 'xz', params: [6, 131072, 1, 0] }],
    ['-comp xz -Xdict-size 16K', { codec: 'xz', params: [6, 16384, 1, 0] }],
    ['-comp lz4', { codec: 'lz4', params: [] }],
    ['-comp lz4 -Xhc', { codec: 'lz4hc', params: [12] }],
    ['-comp gzip -b 4K -always-use-fragments', { codec: 'zlib', params: [9, 15, 0] }],
    ['-comp gzip -no-fragments -no-exports -no-xattrs', { codec: 'zlib', params: [9, 15, 0] }],
    ['-comp gzip -noF', { codec: 'zlib', params: [9, 15, 0] }],
    ['-comp gzip -noI -noD', { codec: 'zlib', params: [9, 15, 0] }],
    ['-comp gzip -no-duplicates', { codec: 'zlib', params: [9, 15, 0] }],
  ])(
    '%s: its files are those of the tree, and every block packs to the same bytes',
    async (options, encoding) => {
      const expanded = await expandBytes(build(options))
      expect(expanded.image.fs).toBe('squashfs')
      expect(mismatches(expanded, join(dir, 'tree'))).toEqual([])
      expect(expanded.image.units.find((unit) => unit.encoding !== undefined)?.encoding).toEqual(encoding)
      const { claimed, proved } = await prove(expanded)
      expect(proved).toBe(claimed)
      expect(tablesOf(expanded)).toEqual(expect.arrayContaining(['#inodes', '#directories', '#ids']))
    },
  )

  test('-Xbcj: the filter is taken from each block', async () => {
    const expanded = await expandBytes(build('-comp xz -Xbcj x86,arm'))
    expect(mismatches(expanded, join(dir, 'tree'))).toEqual([])
    const { claimed, proved } = await prove(expanded)
    expect(proved).toBe(claimed)
  })

  test('nothing packed: one unit, and still its files', async () => {
    const expanded = await expandBytes(build('-comp gzip -noI -noD -noF -noX -noId'))
    expect(expanded.image.units).toHaveLength(1)
    expect(mismatches(expanded, join(dir, 'tree'))).toEqual([])
  })

  test('a compression without a codec: one unit', async () => {
    const expanded = await expandBytes(build('-comp lzo'))
    expect(expanded.image.units).toHaveLength(1)
    expect(expanded.image.files).toEqual([])
  })
})
