import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { IMAGE_KINDS } from '../../src/build/image.ts'
import { ERROR_CODES, type ErrorCode } from '../../src/core/error.ts'
import { startProgram } from '../faults/process.ts'
import { LOADERS, ostree } from '../ostree/support.ts'
import { makeHost, ON_DISK, openWorkshop, slotContent, type Workshop } from '../support/cli.ts'

const isRoot = process.getuid?.() === 0
if (!isRoot) console.log('skipped: checking out a commit with its owners needs root')
const ready = isRoot && LOADERS.some(({ reason }) => reason === undefined)
const CREATED = '1750000000'

let shop: Workshop
/** Of `web/1.0` and `web/2.0`. */
let commits: string[]

beforeAll(async () => {
  if (!ready) return
  shop = openWorkshop()
  await makeHost(shop)
  initRepo('repo', 'archive')
  commits = ['1.0', '2.0'].map((version) =>
    commit(`tree-${version}`, `web/${version}`, {
      more: [`--add-metadata-string=version=${version}-a`, `--timestamp=@${CREATED}`],
    }),
  )
  for (const version of ['1.0', '2.0'])
    await shop.ok(`image build --ostree @repo --ref web/${version} --out @c${version}.img`)
})
afterEach(() => {
  vi.unstubAllEnvs()
  vi.restoreAllMocks()
})
afterAll(() => shop?.close())

function initRepo(name: string, mode: string): void {
  const repo = `--repo=${shop.path(name)}`
  ostree('init', repo, `--mode=${mode}`)
  // A flush for each file is most of what a commit takes.
  ostree('config', repo, 'set', 'core.fsync', 'false')
}

function commit(tree: string, ref: string, { repo = 'repo', more = [] as string[] } = {}): string {
  const named = [`--repo=${shop.path(repo)}`, `--branch=${ref}`, `--subject=release ${ref}`]
  return ostree('commit', ...named, ...more, `--tree=dir=${shop.path(tree)}`).trim()
}

/** A tree with all that a commit keeps: owners, modes, attributes, links, and two files that are equal. */
function makeOdd(name: string): string {
  const tree = shop.path(name)
  mkdirSync(join(tree, 'etc'), { recursive: true })
  mkdirSync(join(tree, 'usr/bin'), { recursive: true })
  for (const file of ['etc/one', 'etc/same', 'usr/bin/su', 'usr/bin/ping'])
    writeFileSync(join(tree, file), 'equal\n'.repeat(1000))
  symlinkSync('one', join(tree, 'etc/link'))
  chownSync(join(tree, 'usr'), 5, 7)
  chownSync(tree, 3, 4)
  chmodSync(tree, 0o711)
  chmodSync(join(tree, 'usr/bin/su'), 0o4750)
  chmodSync(join(tree, 'etc'), 0o1777)
  execFileSync('setfattr', ['-n', 'user.note', '-v', 'kept', join(tree, 'etc/one')])
  execFileSync('setcap', ['cap_net_raw+ep', join(tree, 'usr/bin/ping')])
  return tree
}

const bytesOf = (name: string): Buffer => readFileSync(shop.path(name))
const leftovers = (): string[] => readdirSync(shop.dir).filter((name) => /^pine-update-|\.partial/.test(name))

async function expectError(line: string, code: ErrorCode, why: RegExp): Promise<void> {
  const ran = await shop.pine(`${line} --json`)
  expect([ran.json().error?.code, ran.exit], ran.stderr).toEqual([code, ERROR_CODES[code]])
  expect(ran.json().error.message).toMatch(why)
  expect(ran.stderr).not.toContain(shop.path('pine-update-'))
  expect(leftovers()).toEqual([])
}

describe.skipIf(!ready)('an image of a commit', () => {
  test('is that of the same folder with all times at 0, whatever file system and repository', async () => {
    makeOdd('odd')
    for (const mode of ['archive', 'bare', 'bare-user']) {
      initRepo(mode, mode)
      commit('odd', 'odd', { repo: mode })
    }
    for (const fs of IMAGE_KINDS) {
      vi.stubEnv('SOURCE_DATE_EPOCH', '0')
      await shop.ok(`image build --tree @odd --fs ${fs} --out @folder.img`)
      // Nothing of this run gets into it.
      vi.stubEnv('SOURCE_DATE_EPOCH', '1600000000')
      for (const mode of fs === 'squashfs' ? ['archive', 'bare', 'bare-user'] : ['archive']) {
        await shop.ok(`image build --ostree @${mode} --ref odd --fs ${fs} --out @commit.img`)
        expect(bytesOf('commit.img').equals(bytesOf('folder.img')), `${fs} of ${mode}`).toBe(true)
      }
    }
    expect(leftovers()).toEqual([])
  })

  test('says which commit it is, by ref, id, or the start of one', async () => {
    const [first = ''] = commits
    const build = async (rev: string): Promise<any> =>
      (await shop.ok(`image build --ostree @repo --ref ${rev} --out @again.img --json`)).json()
    const told = { commit: first, timestamp: Number(CREATED), subject: 'release web/1.0', version: '1.0-a' }
    expect((await build('web/1.0')).source).toEqual({ ostree: { ...told, ref: 'web/1.0' } })
    expect((await build(first)).source).toEqual({ ostree: told })
    expect(await build(first.slice(0, 10))).toMatchObject({ fs: 'squashfs', source: { ostree: told } })
    expect(bytesOf('again.img').equals(bytesOf('c1.0.img'))).toBe(true)
    const ran = await shop.ok('image build --ostree @repo --ref web/1.0 --out @again.img')
    expect(ran.stdout).toContain(
      `commit ${first.slice(0, 12)} of web/1.0, version 1.0-a, 2025-06-15T15:06:40`,
    )
    expect(ran.stderr).toBe('check out web/1.0\nmake the image of web/1.0\n')
  })

  test('is not made of what is not there, or not whole', async () => {
    const build = 'image build --out @none.img --ref'
    await expectError(`${build} nope --ostree @repo`, 'OSTREE_NOT_FOUND', /nope/)
    await expectError(`${build} web/1.0 --ostree @nope`, 'OSTREE_NOT_FOUND', /nope/)
    await expectError(`${build} web/1.0 --ostree @tree-1.0`, 'OSTREE_NOT_FOUND', /tree-1.0/)
    initRepo('part', 'archive')
    ostree(
      'pull-local',
      `--repo=${shop.path('part')}`,
      '--commit-metadata-only',
      shop.path('repo'),
      'web/1.0',
    )
    await expectError(`${build} web/1.0 --ostree @part`, 'OSTREE_NOT_FOUND', /only in part/)
    await expectError(`${build} web/1.0 --ostree @repo --out @no/where.img`, 'IO_FAILED', /no/)
    expect(readdirSync(shop.dir)).not.toContain('none.img')
  })

  test('is not made of a tree that could not start, or that everybody could read the passwords of', async () => {
    const files = {
      unprepared: ['etc/fstab', 'usr/lib/systemd/systemd'],
      deployed: ['usr/etc/fstab'],
      open: ['etc/shadow'],
      prepared: ['etc/fstab', 'usr/lib/systemd/systemd', 'usr/lib/pine-update/pine-update.cjs'],
    }
    for (const [tree, paths] of Object.entries(files)) {
      for (const path of paths) {
        mkdirSync(join(shop.path(tree), path, '..'), { recursive: true })
        writeFileSync(join(shop.path(tree), path), 'x', { mode: 0o644 })
      }
      commit(tree, tree)
    }
    mkdirSync(shop.path('empty'))
    commit('empty', 'empty')
    const build = 'image build --ostree @repo --out @none.img --ref'
    await expectError(
      `${build} unprepared`,
      'TREE_INVALID',
      /^commit unprepared: its tree has a system without/,
    )
    await expectError(
      `${build} deployed`,
      'TREE_INVALID',
      /^commit deployed: its tree has \/usr\/etc and no \/etc/,
    )
    await expectError(`${build} open`, 'TREE_INVALID', /^commit open: everybody can read \/etc\/shadow$/)
    await expectError(`${build} empty`, 'TREE_INVALID', /^commit empty: its tree is empty/)
    await shop.ok(`${build} prepared`)
  })

  test('leaves nothing behind when it is interrupted', async () => {
    for (let folder = 0; folder < 10; folder++) {
      mkdirSync(shop.path(`many/${folder}`), { recursive: true })
      for (let file = 0; file < 200; file++)
        writeFileSync(shop.path(`many/${folder}/${file}`), `${folder} ${file}\n`)
    }
    commit('many', 'many')
    const program = startProgram(shop, 'image build --ostree @repo --ref many --out @many.img')
    await program.saying('check out many')
    const isUnderWay = (): boolean =>
      leftovers().some((name) => readdirSync(shop.path(name), { recursive: true }).length > 100)
    while (!isUnderWay() && program.child.exitCode === null) await sleep(1)
    expect(program.said()).not.toContain('make the image')
    program.child.kill('SIGTERM')
    expect(await program.ended).toMatchObject({ signal: 'SIGTERM' })
    expect(leftovers()).toEqual([])
    // Nor does anybody write on.
    await sleep(300)
    expect(leftovers()).toEqual([])
    expect(readdirSync(shop.dir)).not.toContain('many.img')
  })

  test('needs root; without libostree all else works', async () => {
    const build = 'image build --ostree @repo --ref web/1.0 --out @none.img'
    vi.stubEnv('PINE_OSTREE_LIBRARY', '/nowhere/libostree.so')
    await expectError(build, 'OSTREE_MISSING', /nowhere/)
    const bundle = 'bundle create --to web/2.0 --release 2.0 --compatible test --unsigned --out @none.bundle'
    await expectError(`${bundle} --ostree @repo`, 'OSTREE_MISSING', /nowhere/)
    await shop.ok('image build --tree @tree-1.0 --out @plain.img')
    vi.spyOn(process, 'getuid').mockReturnValue(1000)
    await expectError(build, 'NOT_ROOT', /owners/)
  })
})

describe.skipIf(!ready)('a bundle between commits', () => {
  const names = '--release 2.0 --compatible test --key @keys/ci.key'
  const inspect = async (bundle: string): Promise<any> =>
    (await shop.ok(`bundle inspect @${bundle} --json`)).json()

  test('is the one between their images, and says which commit it leads to', async () => {
    vi.stubEnv('SOURCE_DATE_EPOCH', CREATED)
    const made = await shop.ok(
      `bundle create --ostree @repo --from web/1.0 --to web/2.0 --full ${names} --out @commits.bundle --json`,
    )
    await shop.ok(`bundle create --from @c1.0.img --to @c2.0.img --full ${names} --out @images.bundle`)
    expect(made.json().costs.map(({ from }: any) => from)).toEqual(['web/1.0', null])
    expect(made.stderr).toMatch(/^check out web\/1.0\nmake the image of web\/1.0\ncheck out web\/2.0\n/)
    const [ours, theirs] = [await inspect('commits.bundle'), await inspect('images.bundle')]
    const { source, ...rest } = ours
    expect(rest).toEqual(theirs)
    expect(source).toEqual({
      ostree: {
        commit: commits[1],
        ref: 'web/2.0',
        timestamp: Number(CREATED),
        subject: 'release web/2.0',
        version: '2.0-a',
      },
    })
    const payload = (name: string): Buffer => bytesOf(name).subarray(-theirs.payloadBytes)
    expect(payload('commits.bundle').equals(payload('images.bundle'))).toBe(true)
    expect(bytesOf('commits.bundle').length - bytesOf('images.bundle').length).toBeLessThan(200)
    const text = (await shop.ok('bundle inspect @commits.bundle')).stdout
    const line = `commit      ${commits[1]?.slice(0, 12)} of web/2.0, version 2.0-a, 2025-06-15T15:06:40.000Z, "release web/2.0"`
    expect(text).toContain(`${line}\n`)
    expect((await shop.ok('bundle inspect @images.bundle')).stdout).not.toContain('commit')
    expect(leftovers()).toEqual([])
  })

  test('applies to a machine that runs an image of the first, and lists what changes', async () => {
    const release = '--compatible test --release 1.0'
    rmSync(shop.path('host.img'))
    await shop.ok(
      `disk build --layout @layout.sfdisk --size 32M --image @c1.0.img ${release} --out @host.img`,
    )
    await shop.boot()
    const revs = commits.map((id) => id.slice(0, 12))
    await shop.ok(
      `bundle create --ostree @repo --from ${revs[0]} --to ${revs[1]} ${names} --out @prefix.bundle`,
    )
    await shop.ok(`apply @prefix.bundle ${ON_DISK}`)
    const image = bytesOf('c2.0.img')
    expect(slotContent(shop, 'b').subarray(0, image.length).equals(image)).toBe(true)
    expect(await shop.boot()).toBe('b')
    const { changes } = (await shop.ok('bundle inspect @prefix.bundle --changes --json')).json()
    expect(changes.files.map(({ path, change }: any) => [path, change])).toEqual([
      ['etc/release', 'changed'],
      ['own', 'changed'],
    ])
  })

  test('takes images as hosts have them', async () => {
    await shop.ok('image build --ostree @repo --ref web/1.0 --fs ext4 --out @host.ext4')
    const { digest } = (await shop.ok('image build --tree @tree-1.0 --out @x.img --json')).json()
    const create = `bundle create --ostree @repo --from web/1.0 --to web/2.0 ${names} --out @ext4.bundle`
    const made = (await shop.ok(`${create} --fs ext4 --json`)).json()
    expect([made.image.fs, made.variants[0].base.bytes]).toEqual(['ext4', bytesOf('host.ext4').length])
    expect(made.variants[0].base.digest).not.toBe(digest)
  })

  test('is refused where the command line does not add up, before anything is read', async () => {
    const create = `bundle create --from web/1.0 --to web/2.0 ${names} --out @none.bundle`
    await expectError(`${create} --fs ext4`, 'USAGE', /go with --ostree/)
    await expectError(`${create} --ostree @repo --fs erofs --level 3`, 'USAGE', /no --level 3 of erofs/)
    await expectError(`${create} --ostree @repo --from nope`, 'OSTREE_NOT_FOUND', /nope/)
    const build = 'image build --out @none.img'
    await expectError(`${build} --ostree @repo`, 'USAGE', /--ref REV go together/)
    await expectError(`${build} --tree @tree-1.0 --ref web/1.0`, 'USAGE', /--ref REV go together/)
    await expectError(`${build} --tree @tree-1.0 --ostree @repo --ref web/1.0`, 'USAGE', /exactly one/)
    const dry = await shop.ok(`${create} --ostree @repo --dry-run --json`)
    expect(dry.json()).toMatchObject({ dryRun: true, ostree: shop.path('repo'), to: 'web/2.0' })
    expect((await shop.ok(`${build} --ostree @repo --ref web/1.0 --dry-run`)).stdout).toContain('web/1.0 in')
    expect(readdirSync(shop.dir)).not.toContain('none.bundle')
  })
})
