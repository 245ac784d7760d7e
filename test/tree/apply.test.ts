import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { makeHost, openWorkshop, type Workshop } from '../support/cli.ts'
import {
  boot,
  bootstate,
  commitOf,
  isExactly,
  makeFolderHost,
  makeTreeBundle,
  ON_FOLDER,
  ready,
  relabel,
  snapshot,
} from './support.ts'

let shop: Workshop

beforeEach(async () => {
  if (!ready) return
  shop = openWorkshop()
  await makeFolderHost(shop)
})
afterEach(() => {
  vi.unstubAllEnvs()
  shop?.close()
})

const slot = (name: 'a' | 'b'): string => shop.path(`host/slots/${name}`)

/** Of a command that is refused: its exit code and error code. */
async function refusal(line: string): Promise<[number, string]> {
  const ran = await shop.pine(`${line} --json`)
  return [ran.exit, ran.exit === 0 ? 'none' : ran.json().error.code]
}

/** Refused before anything was written: boot state and both slots are what they were. */
async function refusedUntouched(line: string): Promise<[number, string]> {
  const before = [bootstate(shop).toString('latin1'), snapshot(slot('a')), snapshot(slot('b'))]
  const refused = await refusal(line)
  expect([bootstate(shop).toString('latin1'), snapshot(slot('a')), snapshot(slot('b'))]).toEqual(before)
  return refused
}

async function conditions(): Promise<string[]> {
  const status = (await shop.ok(`status --json ${ON_FOLDER}`)).json()
  return status.slots.map(({ condition }: { condition: string }) => condition)
}

describe.skipIf(!ready)('an update of a tree', () => {
  test.each([
    ['full', undefined],
    ['a delta', '1.0'],
  ])('%s: applied, booted, confirmed, rolled back', async (_, from) => {
    await makeTreeBundle(shop, '2.0', from === undefined ? {} : { from })
    const running = snapshot(slot('a'))
    const dry = (await shop.ok(`apply @2.0.bundle --dry-run --json ${ON_FOLDER}`)).json()
    expect(dry.plan.steps.map(({ kind }: { kind: string }) => kind)).toEqual(
      expect.arrayContaining(['disarm-slot', 'forget-image', 'write-tree', 'flush-slot', 'verify-tree']),
    )
    const applied = (await shop.ok(`apply @2.0.bundle --json ${ON_FOLDER}`)).json()
    expect(applied).toMatchObject({ changed: true, digest: commitOf(shop, '2.0') })
    expect(snapshot(slot('a'))).toBe(running)
    expect(isExactly(shop, 'b', '2.0')).toBe(true)
    expect(readdirSync(join(slot('b'), '.pine'))).toEqual(['repo'])
    expect(await boot(shop)).toBe('b')
    await shop.ok(`confirm ${ON_FOLDER}`)
    await shop.ok(`rollback ${ON_FOLDER}`)
    expect(await boot(shop)).toBe('a')
    const status = (await shop.ok(`status --verify --json ${ON_FOLDER}`)).json()
    expect(status.slots.map(({ verified }: { verified: boolean }) => verified)).toEqual([true, true])
  })

  test('over an older one: nothing of it stays, and files that both releases have are one', async () => {
    await makeTreeBundle(shop, '2.0', { from: '1.0' })
    await makeTreeBundle(shop, '3.0', { from: '2.0' })
    await shop.ok(`apply @2.0.bundle ${ON_FOLDER}`)
    await boot(shop)
    await shop.ok(`confirm ${ON_FOLDER}`)
    await shop.ok(`apply @3.0.bundle ${ON_FOLDER}`)
    expect(isExactly(shop, 'a', '3.0')).toBe(true)
    const commits = execFileSync('find', [join(slot('a'), '.pine/repo'), '-name', '*.commit'], {
      encoding: 'utf8',
    })
    expect(commits.trim().split('\n')).toHaveLength(1)
    const inode = (name: 'a' | 'b') => statSync(join(slot(name), 'usr/shared')).ino
    expect(inode('a')).toBe(inode('b'))
  })

  test('as copies: the slots share no file, and a tree none with its repository', async () => {
    rmSync(shop.path('host'), { recursive: true })
    await shop.ok(
      'folder build @host --ostree @repo --ref web/1.0 --compatible test --release 1.0 --files copy',
    )
    await makeTreeBundle(shop, '2.0', { from: '1.0' })
    await shop.ok(`apply @2.0.bundle ${ON_FOLDER}`)
    expect(isExactly(shop, 'b', '2.0')).toBe(true)
    const inodes = (name: 'a' | 'b'): string[] =>
      execFileSync('find', [slot(name), '-type', 'f', '-printf', '%i\\n'], { encoding: 'utf8' }).split('\n')
    const ofB = new Set(inodes('b').filter(Boolean))
    expect(inodes('a').filter((inode) => ofB.has(inode))).toEqual([])
    const linked = execFileSync('find', [slot('b'), '-type', 'f', '-links', '+1'], { encoding: 'utf8' })
    expect(linked).toBe('')
  })

  test('a release that was rejected, or is older, is refused', async () => {
    await makeTreeBundle(shop, '2.0', { from: '1.0' })
    await shop.ok(`apply @2.0.bundle ${ON_FOLDER}`)
    await boot(shop)
    await shop.ok(`reject --reason bad ${ON_FOLDER}`)
    await boot(shop)
    expect(await refusedUntouched(`apply @2.0.bundle ${ON_FOLDER}`)).toEqual([3, 'REJECTED_BEFORE'])
    await shop.ok(`apply @2.0.bundle --force-rejected ${ON_FOLDER}`)
    await boot(shop)
    await shop.ok(`confirm ${ON_FOLDER}`)
    await makeTreeBundle(shop, '1.0')
    expect(await refusedUntouched(`apply @1.0.bundle ${ON_FOLDER}`)).toEqual([3, 'DOWNGRADE_REFUSED'])
  })
})

describe.skipIf(!ready)('refused before the first write', () => {
  test('a delta from another release', async () => {
    await makeTreeBundle(shop, '3.0', { from: '2.0' })
    expect(await refusedUntouched(`apply @3.0.bundle ${ON_FOLDER}`)).toEqual([3, 'BASE_MISMATCH'])
  })

  test('a delta, where the repository lacks the commit that is recorded', async () => {
    await makeTreeBundle(shop, '2.0', { from: '1.0' })
    const commit = commitOf(shop, '1.0')
    rmSync(join(slot('a'), '.pine/repo/objects', commit.slice(0, 2), `${commit.slice(2)}.commit`))
    expect(await refusedUntouched(`apply @2.0.bundle ${ON_FOLDER}`)).toEqual([3, 'BASE_MISMATCH'])
  })

  test('a delta, where an object of the slot that runs is damaged; the full bundle helps', async () => {
    await makeTreeBundle(shop, '2.0', { from: '1.0' })
    const bytes = readFileSync(join(slot('a'), 'usr/shared'))
    bytes.writeUInt8(bytes.readUInt8(5000) ^ 1, 5000)
    writeFileSync(join(slot('a'), 'usr/shared'), bytes)
    expect(await refusedUntouched(`apply @2.0.bundle ${ON_FOLDER}`)).toEqual([3, 'BASE_MISMATCH'])
    await makeTreeBundle(shop, '2.0')
    await shop.ok(`apply @2.0.bundle ${ON_FOLDER}`)
    expect(isExactly(shop, 'b', '2.0')).toBe(true)
  })

  test('a bundle of an image; and one of a tree on a disk with images', async () => {
    const other = openWorkshop()
    try {
      await makeHost(other)
      const bundle = `--to @1.0.img --release 2.0 --compatible test --key ${shop.path('keys/ci.key')}`
      await other.ok(`bundle create ${bundle} --out ${shop.path('image.bundle')}`)
      expect(await refusedUntouched(`apply @image.bundle ${ON_FOLDER}`)).toEqual([3, 'BUNDLE_KIND_MISMATCH'])
      await makeTreeBundle(shop, '2.0')
      const before = readFileSync(other.path('host.img'))
      const line = `apply ${shop.path('2.0.bundle')} --disk @host.img --keyring ${shop.path('keys')} --json`
      const ran = await other.pine(line)
      expect([ran.exit, ran.json().error.code]).toEqual([3, 'BUNDLE_KIND_MISMATCH'])
      expect(readFileSync(other.path('host.img')).equals(before)).toBe(true)
    } finally {
      other.close()
    }
  })

  test('where there is no libostree; a bundle of an image does not look for it', async () => {
    await makeTreeBundle(shop, '2.0')
    const other = openWorkshop()
    await makeHost(other)
    vi.stubEnv('PINE_OSTREE_LIBRARY', '/nowhere/libostree.so')
    expect(await refusedUntouched(`apply @2.0.bundle ${ON_FOLDER}`)).toEqual([1, 'OSTREE_MISSING'])
    await other.ok(
      'bundle create --to @2.0.img --release 2.0 --compatible test --key @keys/ci.key --out @2.0.bundle',
    )
    await other.ok('apply @2.0.bundle --disk @host.img --config @host.toml')
    other.close()
  })
})

describe.skipIf(!ready)('what arrives damaged arms nothing, and the next apply begins again', () => {
  test.each([
    ['a segment with a flipped bit', 'BUNDLE_CORRUPT', (bytes: Buffer) => flip(bytes, bytes.length - 500)],
    ['a file that was cut', 'BUNDLE_TRUNCATED', (bytes: Buffer) => bytes.subarray(0, -100)],
    ['bytes behind the end', 'BUNDLE_MALFORMED', (bytes: Buffer) => Buffer.concat([bytes, Buffer.from('x')])],
  ])('%s', async (_, code, damage) => {
    await makeTreeBundle(shop, '2.0', { from: '1.0' })
    const good = readFileSync(shop.path('2.0.bundle'))
    writeFileSync(shop.path('bad.bundle'), damage(good))
    expect((await refusal(`apply @bad.bundle ${ON_FOLDER}`))[1]).toBe(code)
    expect(await conditions()).toEqual(['confirmed', 'unknown'])
    expect(await boot(shop)).toBe('a')
    await shop.ok(`apply @2.0.bundle ${ON_FOLDER}`)
    expect(isExactly(shop, 'b', '2.0')).toBe(true)
  })

  test('a signed bundle whose delta makes another commit than it names', async () => {
    await makeTreeBundle(shop, '2.0')
    await makeTreeBundle(shop, '3.0')
    await relabel(shop, '2.0.bundle', {
      change: (manifest) => ({ ...manifest, tree: { ...manifest.tree, commit: commitOf(shop, '3.0') } }),
    })
    expect(await refusal(`apply @2.0.bundle ${ON_FOLDER}`)).toEqual([1, 'IMAGE_MISMATCH'])
    expect(await conditions()).toEqual(['confirmed', 'unknown'])
  })

  test('a signed bundle whose segments are no delta', async () => {
    await makeTreeBundle(shop, '2.0')
    await relabel(shop, '2.0.bundle', { spoil: (payload) => payload.fill(7) })
    expect(await refusal(`apply @2.0.bundle ${ON_FOLDER}`)).toEqual([1, 'OSTREE_CORRUPT'])
    expect(await conditions()).toEqual(['confirmed', 'unknown'])
  })
})

function flip(bytes: Buffer, at: number): Buffer {
  const damaged = Buffer.from(bytes)
  damaged.writeUInt8(damaged.readUInt8(at) ^ 1, at)
  return damaged
}

describe.skipIf(!ready)('a slot that is not its commit any more', () => {
  /** With two releases that were confirmed, of which the first one runs. */
  let both: Workshop
  beforeAll(async () => {
    both = openWorkshop()
    await makeFolderHost(both)
    await makeTreeBundle(both, '2.0')
    await both.ok(`apply @2.0.bundle ${ON_FOLDER}`)
    await boot(both)
    await both.ok(`confirm ${ON_FOLDER}`)
    await both.ok(`rollback ${ON_FOLDER}`)
    await boot(both)
    await both.ok(`confirm ${ON_FOLDER}`)
  })
  afterAll(() => both?.close())
  const sh = (script: string) => execFileSync('sh', ['-c', script], { cwd: slot('b') })

  test.each([
    ['a mode', 'chmod 750 usr'],
    ['a mode of the root', 'chmod 700 .'],
    ['an owner', 'chown 1:1 etc'],
    ['an owner of a link', 'chown -h 9:9 etc/link'],
    ['an attribute', 'setfattr -n user.note -v other etc/one'],
    ['an attribute of the root', 'setfattr -x user.root .'],
    ['a capability', 'setcap -r usr/bin/ping'],
    ['the target of a link', 'ln -sfn elsewhere etc/link'],
    ['content', 'printf x | dd of=usr/own conv=notrunc bs=1 seek=7000 status=none'],
    ['a file that is missing', 'rm usr/own'],
    ['a file too many', 'touch etc/extra'],
    ['a folder that is missing', 'rm -r usr/bin'],
    ['a file in place of a folder', 'rm -r usr/bin && touch usr/bin'],
    ['an object that is damaged', 'f=$(find .pine/repo -name "*.dirtree" | head -1) && printf x >> $f'],
    ['a repository that is gone', 'rm -r .pine/repo'],
  ])('%s', async (_, script) => {
    rmSync(shop.path('host'), { recursive: true })
    execFileSync('cp', ['-a', both.path('host'), shop.path('host')])
    sh(script)
    const ran = await shop.pine(`status --verify --json ${ON_FOLDER}`)
    expect(ran.exit).toBe(1)
    expect(ran.json().slots.map(({ verified }: { verified: boolean }) => verified)[1]).toBe(false)
    expect(await refusal(`rollback ${ON_FOLDER}`)).toEqual([1, 'IMAGE_MISMATCH'])
    expect(await boot(shop)).toBe('a')
  })
})
