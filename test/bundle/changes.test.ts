import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import {
  type ChangeList,
  decodeChanges,
  encodeChanges,
  limitChanges,
  packChanges,
  unpackChanges,
} from '../../src/bundle/changes.ts'
import { decodeManifest, encodeManifest, type Variant } from '../../src/bundle/manifest.ts'
import { type Canonical, decodeCanonical, encodeCanonical } from '../../src/bundle/msgpack.ts'
import { openBundle } from '../../src/bundle/reader.ts'
import { digestOf } from '../../src/core/digest.ts'
import { nameOf } from '../../src/core/file-name.ts'
import type { FileState } from '../../src/core/file-state.ts'
import {
  applyBytes,
  arriving,
  codecs,
  codeOf,
  type MadeBundle,
  makeBundle,
  noise,
  ofImage,
} from '../support/bundles.ts'
import { memoryRegion } from '../support/memory-region.ts'

const file = (bytes: number, more: Partial<FileState> = {}): FileState => ({
  ...{ type: 'file', mode: 0o644, uid: 0, gid: 0, bytes },
  ...more,
})
const link = (target: string): FileState => ({ type: 'symlink', mode: 0o777, uid: 0, gid: 0, target })

const LIST: ChangeList = {
  packages: [
    { database: 'apk', name: 'musl', old: '1.2.4-r0', new: '1.2.5-r0' },
    { database: 'dpkg', name: 'gone', old: '1:2-3' },
    { database: 'dpkg', name: 'libc6:i386', new: '2.41-12' },
  ],
  files: [
    {
      path: 'dev/null',
      new: { type: 'character', mode: 0o666, uid: 0, gid: 0, device: 259 },
      content: false,
    },
    { path: 'etc', old: { type: 'directory', mode: 0o755, uid: 0, gid: 0 }, content: false },
    { path: 'etc/a', old: file(3), new: file(2 ** 40), content: true },
    { path: 'etc/b', old: file(3), new: file(3, { mode: 0o4755, uid: 70_000 }), content: false },
    {
      path: nameOf(Buffer.of(0x65, 0xff)),
      old: link(nameOf(Buffer.of(0xfe))),
      new: link('x'),
      content: false,
    },
  ],
  omitted: 4,
  unread: 1,
}

/** Changes a list in ways that its type does not allow. */
function refused(change: (raw: any) => void): () => unknown {
  const raw = structuredClone(decodeCanonical(encodeChanges(LIST)))
  change(raw)
  return () => decodeChanges(encodeCanonical(raw as Canonical))
}

describe('a list of changes', () => {
  test('comes back as it was, packed too', async () => {
    expect(decodeChanges(encodeChanges(LIST))).toEqual(LIST)
    const { packed, entry } = await packChanges(LIST, codecs)
    expect(entry).toEqual({
      bytes: packed.length,
      rawBytes: encodeChanges(LIST).length,
      digest: digestOf(packed),
    })
    expect(unpackChanges(packed, entry, codecs)).toEqual(LIST)
    expect((await packChanges(LIST, codecs)).packed.equals(packed)).toBe(true)
  })

  test.each<[string, (raw: any) => void]>([
    ['an unknown field', (raw) => Object.assign(raw, { hooks: [] })],
    ['a missing one', (raw) => delete raw.unread],
    ['a file with a target', (raw) => Object.assign(raw.files[2].old, { target: Buffer.from('x') })],
    ['a file without a length', (raw) => delete raw.files[2].old.bytes],
    ['a symlink without a target', (raw) => delete raw.files[4].old.target],
    ['a device without a number', (raw) => delete raw.files[0].new.device],
    ['a type nobody knows', (raw) => Object.assign(raw.files[1].old, { type: 'door' })],
    ['a mode of more than 12 bits', (raw) => Object.assign(raw.files[2].old, { mode: 0o10000 })],
    ['an owner of more than 32 bits', (raw) => Object.assign(raw.files[2].old, { uid: 2 ** 32 })],
    ['a change of nothing into nothing', (raw) => delete raw.files[1].old],
    ['content of what is no file', (raw) => Object.assign(raw.files[4], { content: true })],
    ['an empty path', (raw) => Object.assign(raw.files[0], { path: Buffer.alloc(0) })],
    ['a path of 4097 bytes', (raw) => Object.assign(raw.files[4], { path: Buffer.alloc(4097, 'x') })],
    ['a path as text', (raw) => Object.assign(raw.files[0], { path: 'dev/null' })],
    ['a path twice', (raw) => raw.files.splice(1, 0, raw.files[0])],
    ['paths out of order', (raw) => raw.files.reverse()],
    ['packages out of order', (raw) => raw.packages.reverse()],
    ['a package of no version', (raw) => delete raw.packages[1].old],
    ['a package that did not change', (raw) => Object.assign(raw.packages[0], { old: '1.2.5-r0' })],
    ['a version with an escape code', (raw) => Object.assign(raw.packages[1], { old: '\u001b[31m' })],
    ['a name with a space', (raw) => Object.assign(raw.packages[1], { name: 'a b' })],
    ['a database nobody knows', (raw) => Object.assign(raw.packages[0], { database: 'rpm' })],
    [
      'more files than there may be',
      (raw) => Object.assign(raw, { files: Array(50_001).fill(raw.files[0]) }),
    ],
    ['a negative count', (raw) => Object.assign(raw, { omitted: null })],
  ])('with %s is refused', (_, change) => {
    expect(refused(change)).toThrow(
      expect.objectContaining({
        code: 'BUNDLE_MALFORMED',
        message: expect.stringContaining('list of changes'),
      }),
    )
  })

  test('that does not unpack to what is said is refused', async () => {
    const { packed, entry } = await packChanges(LIST, codecs)
    for (const rawBytes of [entry.rawBytes - 1, entry.rawBytes + 1, 16 * 1024 * 1024])
      expect(() => unpackChanges(packed, { rawBytes }, codecs)).toThrow('does not unpack')
    expect(() => unpackChanges(noise(100), entry, codecs)).toThrow('does not unpack')
  })

  test('of any bytes is refused with a code of its own', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        expect(() => decodeChanges(Buffer.from(bytes))).toThrow(
          expect.objectContaining({ code: 'BUNDLE_MALFORMED' }),
        )
      }),
    )
  })
})

describe('what a bundle has no room for is counted', () => {
  const added = (count: number, path: (index: number) => string): ChangeList['files'] =>
    Array.from({ length: count }, (_, index) => ({ path: path(index), new: file(1), content: false }))
  const number = (index: number): string => String(index).padStart(7, '0')

  test('files by their number', () => {
    const limited = limitChanges({ ...LIST, files: added(60_000, number) })
    expect([limited.files.length, limited.omitted]).toEqual([50_000, 10_004])
    expect(decodeChanges(encodeChanges(limited))).toEqual(limited)
  })

  test('files by the length of their names, and the rest by what is left', () => {
    const limited = limitChanges({ ...LIST, files: added(5000, (index) => number(index) + 'x'.repeat(4000)) })
    expect(limited.files.length + limited.omitted).toBe(5004)
    expect(limited.files.length).toBeGreaterThan(2000)
    expect(encodeChanges(limited).length).toBeLessThan(16 * 1024 * 1024)
  })

  test('a path that no kernel takes', () => {
    const limited = limitChanges({
      ...LIST,
      files: added(2, (index) => (index === 0 ? 'x'.repeat(5000) : 'y')),
    })
    expect(limited.files.map(({ path }) => path)).toEqual(['y'])
    expect(limited.omitted).toBe(5)
  })

  test('packages', () => {
    const packages = added(12_000, number).map(({ path }) => ({
      database: 'apk' as const,
      name: path,
      new: '1',
    }))
    const limited = limitChanges({ ...LIST, packages })
    expect(limited.packages).toHaveLength(10_000)
    expect(decodeChanges(encodeChanges(limited))).toEqual(limited)
  })

  test('the largest list that there can be fits into a manifest and is read', () => {
    const state = {
      type: 'character',
      mode: 0o7777,
      uid: 2 ** 32 - 1,
      gid: 2 ** 32 - 1,
      device: 2 ** 32 - 1,
    } as const
    const files = added(50_000, number).map(({ path }) => ({
      ...{ path, content: false, old: state },
      new: { ...state, type: 'block' as const },
    }))
    const packages = added(10_000, number).map(({ path }) => ({
      ...{ database: 'dpkg' as const, name: path.padEnd(128, 'x') },
      ...{ old: '1'.repeat(128), new: '2'.repeat(128) },
    }))
    const raw = encodeChanges(limitChanges({ packages, files, omitted: 0, unread: 0 }))
    expect(raw.length).toBeLessThan(16 * 1024 * 1024)
    expect(decodeChanges(raw).files).toHaveLength(50_000)
    const long = files.map((change) => ({ ...change, path: change.path + 'y'.repeat(120) }))
    for (const names of [long, added(3000, (index) => number(index) + 'x'.repeat(4080))]) {
      const list = limitChanges({ packages, files: names, omitted: 0, unread: 0 })
      expect(encodeChanges(list).length).toBeLessThan(16 * 1024 * 1024)
      expect(list.omitted).toBeGreaterThan(0)
    }
  })
})

describe('in a bundle', () => {
  const base = noise(30_000, 1)
  const other = noise(30_000, 2)
  const target = Buffer.concat([base.subarray(0, 20_000), other.subarray(0, 9000)])
  const second: ChangeList = { packages: [], files: [], omitted: 0, unread: 9 }
  let made: MadeBundle
  let variants: readonly Variant[]
  beforeAll(async () => {
    made = await makeBundle({ target, bases: [base, other, undefined], lists: [LIST, second] })
    variants = ofImage(decodeManifest(encodeManifest(made.manifest))).variants
  })

  async function listOf(bytes: Buffer, index: number): Promise<ChangeList> {
    const variant = variants[index]
    if (variant?.changes === undefined) throw new Error(`variant ${index} has no list`)
    const packed = await (await openBundle(arriving(bytes))).changes(variants, variant)
    return unpackChanges(packed, variant.changes, codecs)
  }

  function flipped(at: number): Buffer {
    const bytes = Buffer.from(made.bytes)
    bytes[at] = (bytes[at] ?? 0) ^ 1
    return bytes
  }

  async function verify(bytes: Buffer): Promise<number> {
    let found = 0
    for await (const entry of (await openBundle(arriving(bytes))).allSegments(variants)) found += entry.bytes
    return found
  }

  test('each is read by itself, whatever happened to the segments', async () => {
    expect(await listOf(made.bytes, 0)).toEqual(LIST)
    expect(await listOf(made.bytes, 1)).toEqual(second)
    expect(await listOf(flipped(made.parts.segments[0] ?? 0), 1)).toEqual(second)
  })

  test('are behind all segments, and nothing is behind them', async () => {
    expect(made.parts.lists).toHaveLength(2)
    expect(await verify(made.bytes)).toBe(made.parts.end - (made.parts.segments[0] ?? 0))
    const longer = Buffer.concat([made.bytes, Buffer.of(0)])
    expect(await codeOf(() => listOf(longer, 1))).toBe('BUNDLE_MALFORMED')
    expect(await codeOf(() => verify(longer))).toBe('BUNDLE_MALFORMED')
  })

  test('damaged, or cut off, are an error for who reads them, and for nobody else', async () => {
    const [first = 0, last = 0] = made.parts.lists
    const slot = () => memoryRegion(Buffer.alloc(target.length))
    for (const [index, at] of [[0, first] as const, [1, last] as const, [1, made.parts.end - 1] as const]) {
      expect(await codeOf(() => listOf(flipped(at), index))).toBe('BUNDLE_CORRUPT')
      expect(await codeOf(() => listOf(made.bytes.subarray(0, at), index))).toBe('BUNDLE_TRUNCATED')
      expect(await codeOf(() => verify(flipped(at)))).toBe('BUNDLE_CORRUPT')
      expect(await codeOf(() => verify(made.bytes.subarray(0, at)))).toBe('BUNDLE_TRUNCATED')
      for (const variant of [0, 1, 2]) {
        const from = variant === 1 ? other : base
        await applyBytes({ bytes: flipped(at), base: from, target: slot(), variant })
        await applyBytes({ bytes: made.bytes.subarray(0, first), base: from, target: slot(), variant })
      }
    }
    expect(await listOf(flipped(last), 0)).toEqual(LIST)
  })

  test('a host does not read them', async () => {
    let read = 0
    async function* counted() {
      for await (const piece of arriving(made.bytes, 100)) {
        read += piece.length
        yield piece
      }
    }
    const opened = await openBundle(counted())
    const full = variants[2]
    if (full === undefined) throw new Error('the sample needs a full variant')
    for await (const _ of opened.segments(variants, full));
    expect(read).toBeLessThan((made.parts.lists[0] ?? 0) + 100)
  })

  test.each([
    ['without a base', 2, {}],
    ['of no bytes', 0, { bytes: 0 }],
    ['of more than 16 MiB', 0, { bytes: 16 * 1024 * 1024 + 1 }],
    ['that unpack to more than 16 MiB', 0, { rawBytes: 16 * 1024 * 1024 + 1 }],
    ['with a digest that is cut', 0, { digest: 'ab' }],
    ['with a field that is not known', 0, { path: 1 }],
  ])('%s there are none', (_, index, change) => {
    const entry = { ...variants[0]?.changes, ...change } as Variant['changes']
    const changed = made.manifest.variants.map((variant, at) =>
      at === index ? { ...variant, changes: entry } : variant,
    )
    const bytes = encodeManifest({ ...made.manifest, variants: changed as Variant[] })
    expect(() => decodeManifest(bytes)).toThrow(expect.objectContaining({ code: 'BUNDLE_MALFORMED' }))
  })
})
