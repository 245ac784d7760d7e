import { beforeAll, describe, expect, test } from 'vitest'
import type { ChangeList, FileChange } from '../../src/bundle/changes.ts'
import { decodeChanges, encodeChanges } from '../../src/bundle/changes.ts'
import type { FileState } from '../../src/core/file-state.ts'
import { listChanges } from '../../src/diff/changes.ts'
import { type Content, openContent } from '../../src/diff/content.ts'
import { diffPackages } from '../../src/diff/package-changes.ts'
import { haveSameContent } from '../../src/diff/same-content.ts'
import { type Comparison, diffTrees } from '../../src/diff/tree-changes.ts'
import { expandImage } from '../../src/expand/image.ts'
import type { TreeEntry } from '../../src/expand/tree.ts'
import { noise, prose } from '../expand/real-images.ts'
import { codecs } from '../support/bundles.ts'
import { memoryRegion } from '../support/memory-region.ts'
import { type ImageKind, imageKinds } from './images.ts'

const file = (bytes: number, more: Partial<FileState> = {}): FileState => ({
  ...{ type: 'file', mode: 0o644, uid: 0, gid: 0, bytes },
  ...more,
})

function tree(states: Readonly<Record<string, FileState>>): TreeEntry[] {
  return Object.entries(states).map(([path, state]) => ({ path, state, contentPath: path }))
}

describe('two trees', () => {
  const never = async (): Promise<Comparison> => {
    throw new Error('there was no need to look')
  }
  const one = async (
    was: FileState | undefined,
    is: FileState | undefined,
    compared?: Comparison,
  ): Promise<FileChange | undefined> => {
    const compare = compared === undefined ? never : async () => compared
    const { files } = await diffTrees(tree(was ? { a: was } : {}), tree(is ? { a: is } : {}), compare)
    expect(files.length).toBeLessThan(2)
    return files[0]
  }

  test('what is in one of them was added or removed', async () => {
    expect(await one(undefined, file(1))).toEqual({ path: 'a', new: file(1), content: false })
    expect(await one(file(1), undefined)).toEqual({ path: 'a', old: file(1), content: false })
  })

  test('content counts where the length does not tell', async () => {
    expect(await one(file(1), file(2))).toMatchObject({ content: true })
    expect(await one(file(2), file(2), 'different')).toMatchObject({ content: true })
    expect(await one(file(2), file(2), 'same')).toBeUndefined()
    expect(await one(file(0), file(0))).toBeUndefined()
  })

  const link = (target: string): FileState => ({ type: 'symlink', mode: 0o777, uid: 0, gid: 0, target })
  test.each<[string, FileState, FileState]>([
    ['permissions', file(2), file(2, { mode: 0o4755 })],
    ['an owner', file(2), file(2, { uid: 1 })],
    ['a group', file(2), file(2, { gid: 1 })],
    ['a target', link('x'), link('y')],
    ['a type', link('x'), file(1)],
    ['a device', { ...file(0), type: 'block', device: 1 }, { ...file(0), type: 'block', device: 2 }],
  ])('%s counts by itself', async (_, was, is) => {
    expect(await one(was, is, 'same')).toEqual({ path: 'a', old: was, new: is, content: false })
    expect(await one(is, is, 'same')).toBeUndefined()
  })

  test('what could not be read is counted, and its other changes are listed', async () => {
    const [old, now] = [tree({ a: file(1), b: file(1) }), tree({ a: file(1), b: file(1, { uid: 1 }) })]
    const { files, unread } = await diffTrees(old, now, async () => 'unread')
    expect([files.map(({ path }) => path), unread]).toEqual([['b'], 2])
  })

  test('are listed by the bytes of their paths', async () => {
    // In UTF-16, which strings are compared by, the second would come first.
    const paths = ['\uffee', '\u{1f4be}', 'a/b', 'a-b', 'B']
    const { files } = await diffTrees(
      [],
      tree(Object.fromEntries(paths.map((path) => [path, file(1)]))),
      never,
    )
    expect(files.map(({ path }) => path)).toEqual(['B', 'a-b', 'a/b', '\uffee', '\u{1f4be}'])
    expect(decodeChanges(encodeChanges({ packages: [], files, omitted: 0, unread: 0 })).files).toEqual(files)
  })
})

describe('two package databases', () => {
  const pkg = (name: string, version: string, architecture = 'amd64') => ({ name, version, architecture })

  test('packages were added, removed, or have another version', () => {
    const old = [pkg('a', '1'), pkg('b', '1'), pkg('c', '1')]
    const now = [pkg('d', '1'), pkg('b', '2'), pkg('a', '1')]
    expect(diffPackages('dpkg', old, now)).toEqual([
      { database: 'dpkg', name: 'b', old: '1', new: '2' },
      { database: 'dpkg', name: 'c', old: '1' },
      { database: 'dpkg', name: 'd', new: '1' },
    ])
  })

  test('one that is there for several machines is several', () => {
    const old = [pkg('libc6', '1'), pkg('libc6', '1', 'i386')]
    expect(diffPackages('dpkg', old, [pkg('libc6', '2')])).toEqual([
      { database: 'dpkg', name: 'libc6:amd64', old: '1', new: '2' },
      { database: 'dpkg', name: 'libc6:i386', old: '1' },
    ])
  })

  test('one that is now for all machines is the same', () => {
    expect(diffPackages('dpkg', [pkg('a', '1')], [pkg('a', '2', 'all')])).toHaveLength(1)
    expect(diffPackages('dpkg', [pkg('a', '1')], [pkg('a', '1', 'all')])).toEqual([])
  })
})

const shared = prose(200_000, 1)
const OLD = new Map([
  ['etc/gone', Buffer.from('gone')],
  ['etc/length', Buffer.from('one')],
  ['usr/same', shared],
  ['usr/one-byte', prose(150_000, 2)],
  ['usr/zeros', Buffer.alloc(300_000)],
  ['usr/noise', noise(100_000, 3)],
  ['lib/apk/db/installed', Buffer.from('P:musl\nV:1.2.4-r0\nA:x86_64\n')],
  [
    'var/lib/dpkg/status',
    Buffer.from('Package: a\nVersion: 1\nArchitecture: all\nStatus: install ok installed\n'),
  ],
  ['var/lib/dpkg/status.d/tz', Buffer.from('Package: tz\nVersion: 1\nArchitecture: all\n')],
])
const oneByte = Buffer.from(OLD.get('usr/one-byte') ?? '')
oneByte[140_000] = 0
const zeros = Buffer.alloc(300_000)
zeros[299_999] = 1
const NOW = new Map([
  ...[...OLD].filter(([path]) => path !== 'etc/gone'),
  ['etc/first', Buffer.from('new, and moves all that follows')],
  ['etc/length', Buffer.from('three')],
  ['usr/one-byte', oneByte],
  ['usr/zeros', zeros],
  ['usr/lib/apk/db/installed', Buffer.from('P:late\nV:3-r0\nA:x86_64\n')],
  ['var/lib/dpkg/status.d/tz', Buffer.from('Package: tz\nVersion: 2\nArchitecture: all\n')],
])

async function open(image: Buffer): Promise<{ region: ReturnType<typeof memoryRegion>; content: Content }> {
  const region = memoryRegion(image)
  return { region, content: openContent(region, await expandImage(region, codecs), codecs) }
}

const kinds = imageKinds().filter(({ name }) => name !== 'raw bytes')

describe.each(kinds.filter(({ isThere }) => isThere))('two images of $name', ({ make, name }: ImageKind) => {
  let list: ChangeList | undefined
  let same: ChangeList | undefined
  beforeAll(async () => {
    const [old, now] = [await open(make(OLD)), await open(make(NOW))]
    list = await listChanges(old, now, codecs)
    same = await listChanges(old, old, codecs)
  })

  test('differ in what was changed, and in nothing else', () => {
    const files = (list?.files ?? []).filter(({ new: now }) => now?.type !== 'directory')
    expect(files.map(({ path, content, old, new: now }) => [path, content, old?.bytes, now?.bytes])).toEqual([
      ['etc/first', false, undefined, 31],
      ['etc/gone', false, 4, undefined],
      ['etc/length', true, 3, 5],
      ['usr/lib/apk/db/installed', false, undefined, 23],
      ['usr/one-byte', true, 150_000, 150_000],
      ['usr/zeros', true, 300_000, 300_000],
      ['var/lib/dpkg/status.d/tz', true, 41, 41],
    ])
    expect([list?.omitted, list?.unread]).toEqual([0, 0])
  })

  test('differ in their packages', () => {
    expect(list?.packages).toEqual([
      { database: 'apk', name: 'late', new: '3-r0' },
      { database: 'dpkg', name: 'tz', old: '1', new: '2' },
    ])
  })

  test('do not differ where they are one', () => {
    expect(same, name).toEqual({ packages: [], files: [], omitted: 0, unread: 0 })
  })
})

describe.each(kinds.filter(({ isThere }) => isThere).slice(0, 1))('the content of two files', ({ make }) => {
  test('that is stored alike is not unpacked', async () => {
    const image = make(new Map([['a', shared]]))
    const [old, now] = [await open(image), await open(image)]
    let unpacked = 0
    const counting: typeof codecs = {
      ...codecs,
      decode(...args) {
        unpacked += 1
        codecs.decode(...args)
      },
    }
    const contents = [old, now].map(({ region, content }) => openContent(region, content.image, counting))
    const fileIn = (content: Content | undefined) => {
      const found = content?.image.files.find(({ path }) => path === 'a')
      if (content === undefined || found === undefined) throw new Error('the file is not there')
      return { content, file: found }
    }
    expect(await haveSameContent(fileIn(contents[0]), fileIn(contents[1]))).toBe(true)
    // The end of the file is in a fragment, once in each image.
    expect(unpacked).toBeLessThanOrEqual(2)
  })

  test('that does not unpack is like no other', async () => {
    const image = make(new Map([['a', shared]]))
    const broken = Buffer.from(image)
    broken.fill(0x55, 200, 400)
    const list = await listChanges(await open(image), await open(broken), codecs)
    expect(list?.files.map(({ path, content }) => [path, content])).toEqual([['a', true]])
  })
})

test('images of no file system have no list', async () => {
  const image = await open(noise(50_000, 1))
  expect(await listChanges(image, image, codecs)).toBeUndefined()
})
