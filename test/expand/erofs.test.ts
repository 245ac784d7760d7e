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
  rmSync(out, { force: true })
  return make(out, ['mkfs.erofs', ...options.split(' ').filter(Boolean), '--quiet', out, join(dir, 'tree')])
}

describe.skipIf(!hasTool('mkfs.erofs'))('erofs', () => {
  test.each([
    ['-zlz4hc', [9, 4096, 0]],
    ['-zlz4hc --ignore-mtime', [9, 4096, 0]],
    ['-zlz4hc,12', [12, 4096, 0]],
    ['-zlz4hc,4', [4, 4096, 0]],
    ['-zlz4hc -C16384', [9, 16384, 0]],
    ['-zlz4hc -Elegacy-compress', [9, 4096, 0]],
  ])(
    '%s: its files are those of the tree, and every cluster packs to the same bytes',
    async (options, params) => {
      const expanded = await expandBytes(build(options))
      expect(expanded.image.fs).toBe('erofs')
      expect(mismatches(expanded, join(dir, 'tree'))).toEqual([])
      const encodings = expanded.image.units.flatMap(({ encoding }) => encoding ?? [])
      expect(encodings).toContainEqual({ codec: 'lz4hc-fill', params })
      const { claimed, proved } = await prove(expanded)
      expect(proved).toBe(claimed)
      expect(tablesOf(expanded)).toEqual(['#directories', '#inodes', '#indexes'])
    },
  )

  test('a cluster that does not end its file needs to see what follows', async () => {
    const expanded = await expandBytes(build('-zlz4hc'))
    const { claimed, proved } = await prove(expanded, 0)
    expect(proved).toBeLessThan(claimed)
  })

  test.each(['-zlz4hc -Eztailpacking', '-zlz4hc -C16384 -Eztailpacking'])(
    '%s: packed ends of files are behind their inodes',
    async (options) => {
      const expanded = await expandBytes(build(options))
      expect(mismatches(expanded, join(dir, 'tree'))).toEqual([])
      const encodings = expanded.image.units.flatMap(({ encoding }) => encoding ?? [])
      expect(encodings).toContainEqual({ codec: 'lz4hc', params: [9] })
      const { claimed, proved } = await prove(expanded)
      // Some ends were made to fit by packing a part of them again.
      expect(proved).toBeGreaterThan(claimed * 0.99)
    },
  )

  test('-zlz4: no codec packs like it, but its files are read', async () => {
    const expanded = await expandBytes(build('-zlz4'))
    expect(mismatches(expanded, join(dir, 'tree'))).toEqual([])
  })

  test.each(['', '--chunksize=4096', '--chunksize=65536', '-Enoinline_data'])(
    'without compression %s: one unit and its files',
    async (options) => {
      const expanded = await expandBytes(build(options))
      expect(expanded.image.units).toHaveLength(1)
      expect(mismatches(expanded, join(dir, 'tree'))).toEqual([])
      expect(tablesOf(expanded)).toEqual(['#directories', '#inodes'])
    },
  )
})
