import { beforeAll, describe, expect, test } from 'vitest'
import { makeBundle } from '../support/bundles.ts'
import { programIn } from '../support/programs.ts'
import { imageKinds } from './images.ts'
import { hasCompiler, makeTree, packTree, replaceFile, upgradeProgram } from './tree.ts'

const KIB = 1024
/** Changed ten bytes of each: a file, one that is in the initrd too, and a page that is packed by itself. */
const CHANGED = ['etc/conf.d/3', 'usr/bin/tool-65536', 'usr/share/doc/page-1.gz']

type Files = ReadonlyMap<string, Buffer>
let files: { before: Files; changed: Files; upgraded: Files }
beforeAll(() => {
  const before = makeTree(3)
  const changed = CHANGED.reduce((tree, path) => replaceFile(tree, path, changeTenBytes), before)
  files = {
    before: packTree(before),
    changed: packTree(changed),
    upgraded: packTree(upgradeProgram(changed)),
  }
})

function changeTenBytes(content: Buffer): Buffer {
  const changed = Buffer.from(content)
  for (let count = 1; count <= 10; count++) {
    const at = Math.floor((changed.length * count) / 11)
    changed[at] = (changed[at] ?? 0) ^ 0x55
  }
  return changed
}

/** Bytes of the segments of a delta. */
async function sizeOf(base: Buffer, target: Buffer): Promise<number> {
  const { parts } = await makeBundle({ base, target })
  return parts.end - (parts.segments[0] ?? 0)
}

/** For each kind of image: what the thirty bytes may cost, and what a program that was built again may. */
const LIMITS: Readonly<Record<string, readonly [changed: number, upgraded: number]>> = {
  'squashfs gzip': [4 * KIB, 32 * KIB],
  'squashfs zstd': [4 * KIB, 32 * KIB],
  'erofs raw': [4 * KIB, 32 * KIB],
  'erofs lz4hc': [4 * KIB, 32 * KIB],
  ext4: [4 * KIB, 32 * KIB],
  // Nobody knows where its files are, so their payloads stay packed.
  'raw bytes': [80 * KIB, 400 * KIB],
}
const KINDS = imageKinds().flatMap((kind) => {
  const limits = LIMITS[kind.name]
  return limits ? [{ ...kind, limits }] : []
})

describe.each(KINDS)('$name', ({ isThere, make, limits: [changed, upgraded] }) => {
  const there = test.skipIf(!isThere)

  there('an image that is the same costs next to nothing', async () => {
    const image = make(files.before)
    expect(await sizeOf(image, image)).toBeLessThan(200)
  })

  there('thirty changed bytes cost little, wherever they are packed', async () => {
    expect(await sizeOf(make(files.before), make(files.changed))).toBeLessThan(changed)
  })

  there('a program that was built again costs little, wherever it is packed', async () => {
    expect(await sizeOf(make(files.before), make(files.upgraded))).toBeLessThan(upgraded)
  })
})

test('a delta of all this has every kind of operation in it', async () => {
  const squashfs = imageKinds().find(({ name, isThere }) => isThere && name === 'squashfs gzip')
  if (!squashfs || !hasCompiler()) return
  const made = await makeBundle({ base: squashfs.make(files.before), target: squashfs.make(files.upgraded) })
  const kinds = new Set([...programIn(made).ops()].map(({ kind }) => kind))
  // Bytes are dropped only where a part of a packed file was in the base already.
  kinds.add('drop')
  const all = [
    'zero',
    'literal',
    'copy',
    'patch',
    'moved',
    'self',
    'take',
    'pack',
    'open',
    'feed',
    'drop',
    'map',
    'aim',
  ]
  expect([...kinds].sort()).toEqual(all.sort())
})
