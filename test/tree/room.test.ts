import { execFileSync } from 'node:child_process'
import { mkdirSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { decodeManifest } from '../../src/bundle/manifest.ts'
import { openBundle } from '../../src/bundle/reader.ts'
import { roomForApply } from '../../src/bundle/tree-room.ts'
import type { Room } from '../../src/core/room.ts'
import { makeSlotFileSystem, slotFileSystemRoom } from '../../src/host/make-file-system.ts'
import { type Devices, openDevices, withoutDevices } from '../faults/devices.ts'
import { ostree } from '../ostree/support.ts'
import { openWorkshop, type Workshop } from '../support/cli.ts'
import { makeFolderHost, makeTreeBundle, ready, relabel, snapshot } from './support.ts'

const reason = withoutDevices()
if (reason !== undefined) console.log(`skipped: ${reason}`)

const FOLDERS = 3000
const NAME = 'one-of-many-folders-with-a-long-name'

let shop: Workshop
let devices: Devices

beforeAll(async () => {
  if (!ready || reason !== undefined) return
  shop = openWorkshop()
  devices = openDevices()
  await makeFolderHost(shop)
  for (let index = 0; index < FOLDERS; index++) {
    const folder = shop.path(`tree-2.0/many/${NAME}-${index}`)
    mkdirSync(folder, { recursive: true })
    // Half of them are equal: where they are copies each takes its own.
    writeFileSync(join(folder, 'file'), String(index % (FOLDERS / 2)))
  }
  const branch = ['--branch=web/2.0', `--tree=dir=${shop.path('tree-2.0')}`]
  ostree('commit', `--repo=${shop.path('repo')}`, ...branch)
  await makeTreeBundle(shop, '2.0', { from: '1.0' })
})
afterAll(() => {
  devices?.close()
  shop?.close()
})

/** A host on a file system of its own; `files` is how its trees are put into slots. */
async function hostOn(
  name: string,
  mkfs: readonly string[],
  files: 'link' | 'copy' = 'link',
): Promise<string> {
  execFileSync('truncate', ['-s', '128M', shop.path(name)])
  execFileSync('mkfs.ext4', ['-q', '-b', '4096', '-m', '0', ...mkfs, shop.path(name)])
  const folder = devices.ext4(shop.path(`on-${name}`), shop.path(name))
  const from = '--ostree @repo --ref web/1.0 --compatible test --release 1.0'
  await shop.ok(`folder build @on-${name}/host ${from} --files ${files}`)
  return folder
}

const apply = (name: string) => `apply @2.0.bundle --json --disk @on-${name}/host --config @host.toml`

function freeOn(folder: string): Room {
  const { bavail, bsize, ffree } = statfsSync(folder)
  return { bytes: bavail * bsize, inodes: ffree }
}

async function neededFor(files: 'link' | 'copy'): Promise<Room> {
  const opened = await openBundle(shop.host.readSource(shop.path('2.0.bundle')))
  await opened.close()
  const manifest = decodeManifest(opened.manifestBytes)
  if (!('tree' in manifest) || manifest.variants[0] === undefined) throw new Error('no bundle of a tree')
  return roomForApply(manifest.tree, manifest.variants[0], { files, sharesBase: files === 'link' })
}

describe.skipIf(!ready || reason !== undefined)('a tree of many files and folders', () => {
  test.each([
    ['blocks', ['-N', '40000'], '24M'],
    ['inodes', ['-N', '3000'], '128M'],
  ])('is refused before anything is written where there are too few %s', async (name, mkfs, size) => {
    const folder = await hostOn(name, mkfs)
    const free = freeOn(folder)
    if (size !== '128M') {
      const filler = free.bytes - Number.parseInt(size, 10) * 1024 * 1024
      execFileSync('fallocate', ['-l', String(filler), join(folder, 'filler')])
    }
    const before = snapshot(join(folder, 'host'))
    const refused = await shop.pine(apply(name))
    expect([refused.exit, refused.json().error.code]).toEqual([3, 'IMAGE_TOO_BIG'])
    const needed = await neededFor('link')
    expect(refused.json().error.message).toContain(`${needed.bytes} bytes and ${needed.inodes} inodes`)
    expect(snapshot(join(folder, 'host'))).toBe(before)
  })

  test.each(['link', 'copy'] as const)(
    'takes no more than was reckoned, with each file a %s',
    async (files) => {
      const folder = await hostOn(files, ['-N', '40000'], files)
      const needed = await neededFor(files)
      const before = freeOn(folder)
      await shop.ok(apply(files))
      const after = freeOn(folder)
      const taken = { bytes: before.bytes - after.bytes, inodes: before.inodes - after.inodes }
      console.log(`${files}: reckoned ${JSON.stringify(needed)}, taken ${JSON.stringify(taken)}`)
      expect(taken.bytes).toBeLessThanOrEqual(needed.bytes)
      expect(taken.inodes).toBeLessThanOrEqual(needed.inodes)
      // Nor is what would fit refused.
      expect(needed.bytes).toBeLessThan(taken.bytes * 1.3)
      expect(needed.inodes).toBeLessThan(taken.inodes * 1.3)
    },
  )

  test('that is in a repository on the same file system takes less: objects are links there', async () => {
    const folder = await hostOn('linked', ['-N', '20000'])
    ostree('init', `--repo=${join(folder, 'repo')}`, '--mode=bare')
    ostree('pull-local', `--repo=${join(folder, 'repo')}`, shop.path('repo'), 'web/2.0')
    const { bytes } = freeOn(folder)
    // Of 26 MB half are in the repository already.
    execFileSync('fallocate', ['-l', String(bytes - 18 * 1024 * 1024), join(folder, 'filler')])
    const build = 'folder build @on-linked/new --json --ref web/2.0 --compatible test --release 2.0'
    const refused = await shop.pine(`${build} --ostree @repo`)
    expect([refused.exit, refused.json().error.code]).toEqual([3, 'IMAGE_TOO_BIG'])
    expect(await shop.host.listFolder(folder)).toEqual(['filler', 'host', 'lost+found', 'repo'])
    await shop.ok(`${build} --ostree @on-linked/repo`)
  })

  test('fails in the middle where the bundle says too little, and nothing is armed', async () => {
    const folder = await hostOn('lie', ['-N', '3000'])
    await relabel(shop, '2.0.bundle', {
      change: (manifest) => ({
        ...manifest,
        variants: manifest.variants.map((variant) => ({ ...variant, newInodes: 1 })),
      }),
    })
    const failed = await shop.pine(apply('lie'))
    expect([failed.exit, failed.json().error.code]).toEqual([1, 'IO_FAILED'])
    expect(freeOn(folder).inodes).toBeLessThan(300)
    expect((await shop.ok('status --json --disk @on-lie/host')).json().nextBoot).toBe('a')
  })
})

test.skipIf(reason !== undefined).each([16, 100, 1024, 5000])(
  'the file system of a slot of %i MiB has the room that is reckoned with, and little more',
  async (mebibytes) => {
    const own = openWorkshop()
    const mounts = openDevices()
    try {
      const bytes = mebibytes * 1024 * 1024
      await own.host.createSparse(own.path('slot'), bytes)
      await makeSlotFileSystem(own.host, own.path('slot'), { offset: 0, bytes })
      const free = freeOn(mounts.ext4(own.path('on'), own.path('slot')))
      const reckoned = slotFileSystemRoom(bytes)
      expect(free.bytes).toBeGreaterThanOrEqual(reckoned.bytes)
      expect(free.inodes).toBeGreaterThanOrEqual(reckoned.inodes)
      expect(reckoned.bytes).toBeGreaterThan(free.bytes * 0.99)
      expect(reckoned.inodes).toBeGreaterThan(free.inodes * 0.99)
    } finally {
      mounts.close()
      own.close()
    }
  },
)
