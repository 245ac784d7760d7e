import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bytesOfName, nameOf } from '../../src/core/file-name.ts'
import { deviceNumbers, type FileState, MODE_MASK, typeOfMode } from '../../src/core/file-state.ts'
import { expandImage } from '../../src/expand/image.ts'
import { listTree } from '../../src/expand/tree.ts'
import { blockCodecs } from '../../src/host/codecs.ts'
import { memoryRegion } from '../support/memory-region.ts'
import { hasTool, make, makeTree, noise } from './real-images.ts'

const isRoot = process.getuid?.() === 0
if (!isRoot) console.log('no other owners and no devices: not root')

let dir: string
let tree: string
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'pine-tree-'))
  tree = join(dir, 'tree')
  makeTree(tree)
  chmodSync(join(tree, 'noise/1'), 0o4750)
  chmodSync(join(tree, 'nothing'), 0o1777)
  writeFileSync(Buffer.concat([Buffer.from(join(tree, 'latin-')), Buffer.of(0xe4)]), 'not UTF-8')
  make(join(tree, 'empty'), ['mkfifo', join(tree, 'fifo')])
  if (!isRoot) return
  chownSync(join(tree, 'noise/11'), 70_000, 80_001)
  chownSync(join(tree, 'noise/4095'), 1, 42)
  make(join(tree, 'empty'), ['mknod', join(tree, 'device'), 'b', '259', '300'])
  make(join(tree, 'empty'), ['mknod', join(tree, 'terminal'), 'c', '4', '7'])
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

/** What is there, by path, as another program sees it. */
function onDisk(
  folder = Buffer.from(`${tree}/`),
  found = new Map<string, FileState>(),
): Map<string, FileState> {
  for (const name of readdirSync(folder, { encoding: 'buffer' })) {
    const path = Buffer.concat([folder, name])
    const state = stateOf(path)
    found.set(nameOf(path.subarray(tree.length + 1)), state)
    if (state.type === 'directory') onDisk(Buffer.concat([path, Buffer.from('/')]), found)
  }
  return found
}

function stateOf(path: Buffer): FileState {
  const { mode, uid, gid, size, rdev } = lstatSync(path)
  const type = typeOfMode(mode)
  if (type === undefined) throw new Error(`${path} is nothing known`)
  const state = { type, mode: mode & MODE_MASK, uid, gid }
  if (type === 'file') return { ...state, bytes: size }
  if (type === 'symlink') return { ...state, target: readlinkSync(path) }
  return type === 'block' || type === 'character' ? { ...state, device: rdev } : state
}

const UUID = '70696e65-2d75-7064-6174-650000000001'
const IMAGES: readonly (readonly [string, (out: string) => readonly string[]])[] = [
  ['squashfs', (out) => ['mksquashfs', tree, out, '-noappend', '-quiet', '-no-progress']],
  [
    'squashfs, nothing packed',
    (out) => ['mksquashfs', tree, out, '-noappend', '-quiet', '-no-progress', '-noI', '-noD', '-noF'],
  ],
  ['erofs', (out) => ['mkfs.erofs', '--quiet', `-U${UUID}`, out, tree]],
  [
    'erofs, long inodes, lz4hc',
    (out) => ['mkfs.erofs', '--quiet', '-zlz4hc', '-Eforce-inode-extended', `-U${UUID}`, out, tree],
  ],
  ['ext4', (out) => ['mke2fs', '-q', '-F', '-t', 'ext4', '-b', '4096', '-I', '256', '-d', tree, out, '32M']],
]

describe.each(IMAGES)('%s', (name, command) => {
  test.skipIf(!hasTool(command('')[0] ?? ''))('lists every name with what it stands for', async () => {
    const image = make(join(dir, 'image'), command(join(dir, 'image')))
    const entries = (await listTree(memoryRegion(image), blockCodecs())) ?? []
    const found = new Map(entries.map(({ path, state }) => [path, state]))
    if (name === 'ext4') found.delete('lost+found')
    const expected = onDisk()
    expect(expected.size).toBeGreaterThan(750)
    expect(Object.fromEntries(found)).toEqual(Object.fromEntries(expected))
  })

  test.skipIf(!hasTool(command('')[0] ?? ''))('says where the content of each file is', async () => {
    const image = memoryRegion(make(join(dir, 'image'), command(join(dir, 'image'))))
    const files = new Map(
      (await expandImage(image, blockCodecs())).files.map((file) => [file.path, file.bytes]),
    )
    const entries = ((await listTree(image, blockCodecs())) ?? []).filter(
      ({ state }) => state.type === 'file',
    )
    expect(entries.filter(({ contentPath, state }) => files.get(contentPath) !== state.bytes)).toEqual([])
    const links = entries
      .filter(({ path }) => path.startsWith('links/'))
      .map(({ contentPath }) => contentPath)
    expect(links).toHaveLength(2)
    expect(new Set(links).size).toBe(1)
  })
})

test('two names that are no text stay two', () => {
  const [one, other] = [0xe4, 0xe5].map((byte) => nameOf(Buffer.of(byte)))
  expect(one).not.toBe(other)
  expect(bytesOfName(one ?? '')).toEqual(Buffer.of(0xe4))
})

test('the numbers of a device come apart', () => {
  // glibc makedev(3): major 259, minor 300.
  expect(deviceNumbers(0x0011032c)).toEqual({ major: 259, minor: 300 })
})

test('what is no file system, or a broken one, has no list', async () => {
  expect(await listTree(memoryRegion(noise(50_000, 3)), blockCodecs())).toBeUndefined()
  expect(await listTree(memoryRegion(Buffer.alloc(100)), blockCodecs())).toBeUndefined()
  const image = make(join(dir, 'image'), [
    'mksquashfs',
    tree,
    join(dir, 'image'),
    '-noappend',
    '-quiet',
    '-no-progress',
  ])
  expect(await listTree(memoryRegion(image.subarray(0, 60_000)), blockCodecs())).toBeUndefined()
})
