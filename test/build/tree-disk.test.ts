import { execFileSync } from 'node:child_process'
import { chownSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { LOADERS, ostree } from '../ostree/support.ts'
import { noise, openWorkshop, type Workshop } from '../support/cli.ts'

const isRoot = process.getuid?.() === 0
if (!isRoot) console.log('skipped: checking out a commit with its owners needs root')
const ready = isRoot && LOADERS.some(({ reason }) => reason === undefined)

const SLOT = { offset: 4 * 1024 * 1024, bytes: 16 * 1024 * 1024 }
const SLOT_B = { offset: SLOT.offset + SLOT.bytes, bytes: SLOT.bytes }
const LAYOUT = `label: gpt
first-lba: 2048
name=bios-boot, size=1MiB, type=21686148-6449-6E6F-744E-656564454649
name=bootstate, size=1MiB
name=swap, size=1MiB, type=0657FD6D-A4AB-43C4-84E5-0933C84B4F4F
name=rootfs-a, start=4MiB, size=16MiB
name=rootfs-b, size=16MiB
name=state
`
const BUILD = 'disk build --layout @layout.sfdisk --size 64M --compatible test --release 1.0 --out @disk.img'

let shop: Workshop
let commit: string

beforeAll(() => {
  if (!ready) return
  shop = openWorkshop()
  mkdirSync(shop.path('keys'))
  writeFileSync(shop.path('layout.sfdisk'), LAYOUT)
  ostree('init', `--repo=${shop.path('repo')}`, '--mode=archive')
  makeTree('tree')
  commit = commitTree('tree', 'web/1.0')
})
afterAll(() => shop?.close())

function makeTree(name: string): void {
  for (const folder of ['boot', 'etc', 'usr/bin'])
    mkdirSync(join(shop.path(name), folder), { recursive: true })
  for (const file of ['boot/vmlinuz', 'boot/initrd.img', 'etc/hosts', 'usr/bin/ping'])
    writeFileSync(join(shop.path(name), file), noise(100_000, file.length))
  chownSync(join(shop.path(name), 'etc/hosts'), 5, 7)
  execFileSync('setcap', ['cap_net_raw+ep', join(shop.path(name), 'usr/bin/ping')])
}

function commitTree(tree: string, ref: string): string {
  const where = `--repo=${shop.path('repo')}`
  return ostree('commit', where, `--branch=${ref}`, '--subject=x', `--tree=dir=${shop.path(tree)}`).trim()
}

/** A slot, mounted for `use` as the kernel would. */
function withSlot({ offset, bytes }: typeof SLOT, access: 'ro' | 'rw', use: (root: string) => void): void {
  const root = shop.path('mounted')
  mkdirSync(root)
  const place = `loop,${access},offset=${offset},sizelimit=${bytes}`
  execFileSync('mount', ['-t', 'ext4', '-o', place, shop.path('disk.img'), root])
  try {
    use(root)
  } finally {
    execFileSync('umount', [root])
    rmSync(root, { recursive: true })
  }
}

describe.skipIf(!ready)('a disk whose slots are trees', () => {
  test('holds the commit, files and repository in one, in the whole of slot a', async () => {
    await shop.ok(`${BUILD} --ostree @repo --ref web/1.0`)
    withSlot(SLOT, 'ro', (root) => {
      const repo = join(root, '.pine/repo')
      expect(ostree('rev-parse', `--repo=${repo}`, 'slot').trim()).toBe(commit)
      ostree('fsck', `--repo=${repo}`)
      expect(readFileSync(join(root, 'boot/vmlinuz')).equals(noise(100_000, 12))).toBe(true)
      expect(statSync(join(root, 'etc/hosts'))).toMatchObject({ uid: 5, gid: 7, nlink: 2 })
      expect(String(execFileSync('getcap', [join(root, 'usr/bin/ping')]))).toContain('cap_net_raw=ep')
      expect(Number(execFileSync('stat', ['-f', '-c', '%b', root]))).toBeGreaterThan(
        (SLOT.bytes / 4096) * 0.9,
      )
    })
    const { slots } = (await shop.ok('status --json --disk @disk.img')).json()
    expect(slots[0].image).toMatchObject({ digest: commit, fs: 'tree', version: '1.0' })
    rmSync(shop.path('disk.img'))
  })

  test('takes a tree bundle to the other slot, which is then that commit and nothing else', async () => {
    await shop.ok(`${BUILD} --ostree @repo --ref web/1.0`)
    await shop.ok('key generate --out @keys/ci')
    writeFileSync(shop.path('tree/etc/hosts'), 'changed')
    const next = commitTree('tree', 'web/2.0')
    const release = '--compatible test --release 2.0 --key @keys/ci.key --out @2.0.bundle'
    await shop.ok(`bundle create --tree --ostree @repo --from web/1.0 --to web/2.0 ${release}`)
    await shop.ok('apply @2.0.bundle --disk @disk.img --keyring @keys/ci.pub')
    const { slots, trial } = (await shop.ok('status --verify --json --disk @disk.img')).json()
    expect(trial).toMatchObject({ slot: 'b', version: '2.0' })
    expect(slots).toMatchObject([{ verified: true }, { verified: true, image: { digest: next, fs: 'tree' } }])
    // A file that changed since is found: read from the disk, and by its name in the commit.
    withSlot(SLOT_B, 'rw', (root) => writeFileSync(join(root, 'etc/hosts'), 'Changed'))
    const damaged = (await shop.pine('status --verify --json --disk @disk.img')).json()
    expect(damaged.slots).toMatchObject([{ verified: true }, { verified: false }])
    rmSync(shop.path('disk.img'))
  })

  test('is not made where a slot cannot hold it, and what is on the disk stays', async () => {
    makeTree('large')
    writeFileSync(shop.path('large/usr/much'), noise(SLOT.bytes, 1))
    commitTree('large', 'web/large')
    const ran = await shop.pine(`${BUILD} --ostree @repo --ref web/large --json`)
    expect(ran.json().error).toMatchObject({ code: 'IMAGE_TOO_BIG' })
    expect(existsSync(shop.path('disk.img'))).toBe(false)
  })

  test('is not made of a tree that nothing could start', async () => {
    makeTree('bare')
    rmSync(shop.path('bare/boot/initrd.img'))
    commitTree('bare', 'web/bare')
    const ran = await shop.pine(`${BUILD} --ostree @repo --ref web/bare --json`)
    expect(ran.json().error).toMatchObject({
      code: 'TREE_INVALID',
      message: expect.stringContaining('web/bare: its tree has no /boot/initrd.img'),
    })
  })

  test('is of an image or of a commit', async () => {
    for (const origin of ['', '--image @x --ostree @repo --ref web/1.0', '--ostree @repo']) {
      const ran = await shop.pine(`${BUILD} ${origin} --json`.replace('  ', ' '))
      expect(ran.json().error).toMatchObject({ code: 'USAGE' })
    }
  })
})
