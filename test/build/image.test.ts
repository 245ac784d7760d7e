import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { buildImage, IMAGE_KINDS, type ImageKind } from '../../src/build/image.ts'
import { digestOf } from '../../src/core/digest.ts'
import { expandImage } from '../../src/expand/image.ts'
import { nativeCodecs } from '../../src/host/delta-codecs.ts'
import { realHost } from '../../src/host/real-host.ts'

const host = realHost()
let dir: string

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'pine-image-'))
})
afterEach(() => {
  vi.unstubAllEnvs()
  rmSync(dir, { recursive: true, force: true })
})

/** A tree whose files are created in the given order: directory order on disk follows it. */
function makeTree(name: string, order: string[]): string {
  const tree = join(dir, name)
  mkdirSync(join(tree, 'etc'), { recursive: true })
  mkdirSync(join(tree, 'usr/bin'), { recursive: true })
  for (const file of order) {
    writeFileSync(join(tree, 'etc', file), `${file}\n`.repeat(2000))
    utimesSync(join(tree, 'etc', file), 1_600_000_000, 1_600_000_000)
  }
  symlinkSync('../etc/hosts', join(tree, 'usr/bin/link'))
  for (const folder of ['etc', 'usr/bin', 'usr', '.'])
    utimesSync(join(tree, folder), 1_800_000_000, 1_800_000_000)
  return tree
}

async function imageDigest(from: string, fs: ImageKind, epochSeconds = 1_700_000_000): Promise<string> {
  const out = join(dir, `${fs}.img`)
  rmSync(out, { force: true })
  await buildImage(host, { from, out, fs, compression: 'gzip', epochSeconds })
  return digestOf(readFileSync(out))
}

describe.each(IMAGE_KINDS)('an image of kind %s', (fs) => {
  test('has the same bytes when it is built again, and from a copy made in another order', async () => {
    const names = ['hosts', 'passwd', 'group', 'zz', 'aa', 'motd']
    const tree = makeTree('tree', names)
    const first = await imageDigest(tree, fs)
    expect(await imageDigest(tree, fs)).toBe(first)
    // Times of change count whole seconds, and no program can set them.
    await sleep(1100)
    const copy = makeTree('copy', [...names].reverse())
    expect(await imageDigest(copy, fs)).toBe(first)
  })

  test('has the same bytes a second later with all times at 0', async () => {
    const tree = makeTree('tree', ['hosts', 'passwd'])
    const first = await imageDigest(tree, fs, 0)
    await sleep(1100)
    expect(await imageDigest(tree, fs, 0)).toBe(first)
  })

  test('has the times that were asked for, whatever the environment says', async () => {
    const tree = makeTree('tree', ['hosts', 'passwd'])
    const first = await imageDigest(tree, fs, 0)
    vi.stubEnv('SOURCE_DATE_EPOCH', '1500000000')
    expect(await imageDigest(tree, fs, 0)).toBe(first)
  })

  test('changes when one byte of one file changes', async () => {
    const tree = makeTree('tree', ['hosts', 'passwd'])
    const before = await imageDigest(tree, fs)
    writeFileSync(join(tree, 'etc/hosts'), `hostz\n${'hosts\n'.repeat(1999)}`)
    utimesSync(join(tree, 'etc/hosts'), 1_600_000_000, 1_600_000_000)
    expect(await imageDigest(tree, fs)).not.toBe(before)
  })
})

test('a tar file gives the same image as the tree it was made of', async () => {
  if (process.getuid?.() !== 0) return console.log('skipped: unpacking a tar with its owners needs root')
  const tree = makeTree('tree', ['hosts', 'passwd'])
  const tar = join(dir, 'tree.tar')
  execFileSync('tar', ['-cf', tar, '--xattrs', '-C', tree, '.'])
  expect(await imageDigest(tar, 'squashfs')).toBe(await imageDigest(tree, 'squashfs'))
})

test('an empty or missing tree is refused', async () => {
  mkdirSync(join(dir, 'empty'))
  const request = { out: join(dir, 'x'), fs: 'squashfs', compression: 'gzip', epochSeconds: 0 } as const
  await expect(buildImage(host, { ...request, from: join(dir, 'empty') })).rejects.toMatchObject({
    code: 'TREE_INVALID',
  })
  await expect(buildImage(host, { ...request, from: join(dir, 'none') })).rejects.toMatchObject({
    code: 'FILE_NOT_FOUND',
  })
})

test('a squashfs is packed so that hosts can quickly pack it again, unless told otherwise', async () => {
  const tree = makeTree('tree', ['hosts', 'passwd'])
  const levelOf = async (compression: string, level?: number): Promise<number | undefined> => {
    const out = join(dir, 'level.img')
    rmSync(out, { force: true })
    await buildImage(host, { from: tree, out, fs: 'squashfs', compression, level })
    const { units } = await expandImage(await host.openRegion(out), nativeCodecs())
    return units.find(({ encoding }) => encoding !== undefined)?.encoding?.params[0]
  }
  expect([await levelOf('gzip'), await levelOf('zstd')]).toEqual([6, 6])
  expect([await levelOf('gzip', 9), await levelOf('zstd', 15)]).toEqual([9, 15])
})
