import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { ERROR_CODES, type ErrorCode } from '../../src/core/error.ts'
import type { Host } from '../../src/host/host.ts'
import { realHost } from '../../src/host/real-host.ts'
import { openDevices } from '../faults/devices.ts'
import { LOADERS, ostree } from '../ostree/support.ts'
import { openWorkshop, type Workshop } from '../support/cli.ts'
import { makeTree, PROBLEM, startRoot } from './support.ts'

const reason = PROBLEM ?? LOADERS.find((loader) => loader.reason !== undefined)?.reason
if (reason !== undefined) console.log(`skipped: ${reason}`)

let shop: Workshop
let root: string
/** The next call of the machine that changes something and is not made; then the program is gone. */
let callsLeft = Number.POSITIVE_INFINITY
let calls = 0

/** A machine whose program is cut off before some call. */
function cuttable(): Host {
  const host = realHost()
  const counted = <A extends unknown[], R>(call: (...words: A) => Promise<R>) => {
    return async (...words: A): Promise<R> => {
      calls++
      if (callsLeft-- <= 0) throw new Error('cut off')
      return await call(...words)
    }
  }
  return {
    ...host,
    exec: counted(host.exec),
    rename: counted(host.rename),
    createSparse: counted(host.createSparse),
  }
}

beforeAll(() => {
  if (reason !== undefined) return
  shop = openWorkshop(cuttable())
  const release = shop.path('release')
  makeTree(release)
  rmSync(join(release, 'sbin'), { recursive: true })
  mkdirSync(join(release, 'usr/sbin'))
  symlinkSync('usr/sbin', join(release, 'sbin'))
  write(
    join(release, 'usr/sbin/init'),
    '#!/bin/sh\necho "system: a $(cat /etc/hostname /etc/release)"\n',
    0o755,
  )
  write(join(release, 'etc/release'), 'shipped\n')
  write(join(release, 'etc/passwd'), 'root:x:0:0:::/bin/sh\ndaemon:x:50:50:::\n')
  ostree('init', `--repo=${shop.path('repo')}`, '--mode=archive')
  ostree('config', `--repo=${shop.path('repo')}`, 'set', 'core.fsync', 'false')
  ostree('commit', `--repo=${shop.path('repo')}`, '--branch=web', `--tree=dir=${release}`)
})
afterAll(() => shop?.close())
beforeEach(() => {
  if (reason !== undefined) return
  callsLeft = Number.POSITIVE_INFINITY
  root = shop.path('root')
  rmSync(root, { recursive: true, force: true })
  makeTree(root)
  mkdirSync(join(root, 'lib/systemd'), { recursive: true })
  write(join(root, 'lib/systemd/systemd'), '#!/bin/sh\necho "system: old"\n', 0o4755)
  // Relative, as Debian has it: it must not be moved to another folder.
  symlinkSync('../lib/systemd/systemd', join(root, 'sbin/init'))
  write(join(root, 'etc/hostname'), 'mine\n')
  write(join(root, 'etc/passwd'), 'root:x:0:0:::/bin/bash\nme:x:1000:1000:::/bin/sh\n')
  write(join(root, 'etc/ssh/ssh_host_key'), 'secret', 0o600)
  execFileSync('setfattr', ['-n', 'user.note', '-v', 'kept', join(root, 'etc/hostname')])
  execFileSync('chown', ['-h', '5:7', join(root, 'sbin/init')])
})

function write(path: string, text: string, mode = 0o644): void {
  mkdirSync(join(path, '..'), { recursive: true })
  writeFileSync(path, text)
  chmodSync(path, mode)
}

function librariesOf(program: string): string[] {
  return execFileSync('ldd', [program], { encoding: 'utf8' }).match(/\/\S+/g) ?? []
}

const pine = `${process.execPath} /dist/pine-update.cjs`

/** Node, this program, and an init that runs a script. */
function putNode(tree: string, init: string, script: string[]): void {
  for (const path of [process.execPath, ...librariesOf(process.execPath)]) {
    mkdirSync(join(tree, path, '..'), { recursive: true })
    execFileSync('cp', ['--dereference', path, join(tree, path)])
  }
  execFileSync('cp', ['-a', join(import.meta.dirname, '../../dist'), join(tree, 'dist')])
  write(join(tree, init), `#!/bin/sh\n${script.join('\n')}\n`, 0o755)
}

function commitNode(branch: string, script: string[]): void {
  const tree = shop.path(branch)
  execFileSync('cp', ['-a', shop.path('release'), tree])
  putNode(tree, 'usr/sbin/init', script)
  const repo = `--repo=${shop.path('bare-repo')}`
  if (!existsSync(shop.path('bare-repo'))) ostree('init', repo, '--mode=bare')
  ostree('commit', repo, `--branch=${branch}`, `--tree=dir=${tree}`)
  rmSync(tree, { recursive: true })
}

/** Names, kinds, modes, owners, times of files, links, attributes and contents. */
function listing(): string {
  const script = `find . -path ./proc -prune -o -printf '%P %y %m %U:%G %l ' \\( -type d -printf '\\n' -o -printf '%T@ %s\\n' \\) | sort
find . -path ./proc -prune -o -type f -print0 | sort -z | xargs -0 sha256sum
getfattr --recursive --physical --no-dereference --dump --match=- . | grep -v '^$'`
  return execFileSync('sh', ['-c', script], { cwd: root, encoding: 'utf8' })
}

const WHAT = '--ostree @repo --ref web --compatible web --release 1.0 --root @root'
const systems = (how?: Parameters<typeof startRoot>[1]): string[] =>
  [...startRoot(root, how).output.matchAll(/^system: (.*)$/gm)].map(([, name = '']) => name)

async function expectError(line: string, code: ErrorCode, why: RegExp): Promise<void> {
  const before = listing()
  const ran = await shop.pine(`${line} --json`)
  expect([ran.json().error?.code, ran.exit], ran.stderr).toEqual([code, ERROR_CODES[code]])
  expect(ran.json().error.message).toMatch(why)
  expect(listing()).toBe(before)
}

describe.skipIf(reason !== undefined)('container init', () => {
  test('starts the commit with the name and accounts of the container, and undo gives all back', async () => {
    const before = listing()
    expect((await shop.ok(`container init ${WHAT} --dry-run`)).stdout).toContain('rename a link')
    expect(listing()).toBe(before)
    await shop.ok(`container init ${WHAT}`)
    expect(systems()).toEqual(['a mine'])
    const etc = join(root, '.pine/etc/a.00000001')
    expect(readFileSync(join(etc, 'passwd'), 'utf8')).toBe(
      'root:x:0:0:::/bin/bash\nme:x:1000:1000:::/bin/sh\ndaemon:x:50:50:::\n',
    )
    expect(readFileSync(join(etc, 'ssh/ssh_host_key'), 'utf8')).toBe('secret')
    expect((await shop.ok('status --disk @root/.pine --json')).json()).toMatchObject({ nextBoot: 'a' })
    expect((await shop.ok('container undo --root @root')).stdout).toContain('as it was')
    expect(listing()).toBe(before)
    expect(systems()).toEqual(['old'])
  })

  test('cut off anywhere leaves a container that starts, and is done by the same command again', async () => {
    calls = 0
    await shop.ok(`container init ${WHAT}`)
    const all = calls
    await shop.ok('container undo --root @root')
    const before = listing()
    const started = new Set<string>()
    // Up to what is done in the end nothing is in a place where it counts: two of those will do.
    const cuts = Array.from({ length: all }, (_, cut) => cut).filter(
      (cut) => [1, 6].includes(cut) || cut > all - 9,
    )
    for (const cut of cuts) {
      callsLeft = cut
      expect((await shop.pine(`container init ${WHAT}`)).exit).not.toBe(0)
      callsLeft = Number.POSITIVE_INFINITY
      for (const name of systems()) started.add(name)
      const again = await shop.pine(`container init ${WHAT} --json`)
      // Only the last flush comes after the rename.
      expect(again.exit === 0 || again.json().error.code === 'TAKEOVER_ORDER', `cut before call ${cut}`).toBe(
        true,
      )
      expect(systems(), `cut before call ${cut}`).toEqual(['a mine'])
      await shop.ok('container undo --root @root')
      expect(listing()).toBe(before)
    }
    expect(all).toBeGreaterThan(10)
    expect(started).toEqual(new Set(['old', 'a mine']))
  })

  test('is refused where it cannot work, and changes nothing', async () => {
    await expectError('container undo --root @root', 'TAKEOVER_ORDER', /nothing to undo/)
    await expectError(`container init ${WHAT} --ref nope`, 'OSTREE_NOT_FOUND', /nope/)
    await expectError(`container init ${WHAT} --root @repo`, 'FILE_NOT_FOUND', /no sbin/)
    // Never without --dry-run: where the tests themselves run in a container it would be done.
    await expectError(`container init ${WHAT} --root / --dry-run`, 'TAKEOVER_REFUSED', /no container that is/)
    const bare = shop.path('bare')
    makeTree(bare)
    rmSync(join(bare, 'bin/cmp'))
    ostree('commit', `--repo=${shop.path('repo')}`, '--branch=bare', `--tree=dir=${bare}`)
    await expectError(`container init ${WHAT} --ref bare`, 'TREE_INVALID', /no \/sbin\/init, no program cmp/)
    rmSync(join(root, 'lib/systemd/systemd'))
    await expectError(`container init ${WHAT}`, 'TAKEOVER_REFUSED', /\/sbin\/init is no program/)
    expect(existsSync(join(root, '.pine'))).toBe(false)
  })

  test.each([
    ['bytes', '', []],
    ['bytes', ' --exchange', []],
    ['inodes', '', ['-N', '5000']],
  ])(
    'is refused where the file system of the root has too few %s%s, and changes nothing',
    async (_, how, mkfs) => {
      const devices = openDevices()
      try {
        const disk = shop.path('disk')
        execFileSync('truncate', ['-s', '96M', disk])
        execFileSync('mkfs.ext4', ['-q', '-b', '4096', '-m', '0', ...mkfs, disk])
        const on = devices.ext4(shop.path('on-disk'), disk)
        execFileSync('cp', ['-a', root, join(on, 'root')])
        root = join(on, 'root')
        // More than what is lacking is enough, and less is not: what is reckoned is what decides.
        const take = (bytes: number, inodes: number): void => {
          rmSync(join(on, 'taken'), { recursive: true, force: true })
          mkdirSync(join(on, 'taken'))
          const free = statfsSync(on)
          if (mkfs.length > 0)
            for (let left = free.ffree - inodes; left > 0; left--)
              writeFileSync(join(on, `taken/${left}`), '')
          else
            execFileSync('fallocate', ['-l', String(free.bavail * free.bsize - bytes), join(on, 'taken/all')])
        }
        take(1024 * 1024, 100)
        const init = `container init ${WHAT} --root @on-disk/root${how}`
        await expectError(init, 'IMAGE_TOO_BIG', /needs \d+ bytes and \d+ inodes.*on-disk/)
        const { message } = (await shop.pine(`${init} --json`)).json().error
        const [bytes = 0, inodes = 0] =
          /needs (\d+) bytes and (\d+)/.exec(message)?.slice(1).map(Number) ?? []
        take(bytes - 65_536, inodes - 10)
        await expectError(init, 'IMAGE_TOO_BIG', /needs/)
        take(bytes + 65_536, inodes + 10)
        await shop.ok(init)
        expect(systems(how === '' ? undefined : 'no-mounts')).toEqual(['a mine'])
      } finally {
        devices.close()
        rmSync(shop.path('disk'))
      }
    },
  )

  test('is on trial: a release that gives no verdict leads back to the old system', async () => {
    await shop.ok(`container init ${WHAT}`)
    const names = Array.from({ length: 5 }, () => systems()).flat()
    expect(names).toEqual(['a mine', 'a mine', 'a mine', 'old', 'old'])
  })

  test('gives a container in which pine-update sees the slot that runs, and confirms it', async () => {
    const again = `${pine} container init --ostree /x --ref x --compatible web --release 1.0`
    const script = ['ls /.pine', `${pine} status --json`, `${pine} confirm`, 'ls /.pine']
    // From within a slot these would take the old root with them, which is mounted in /.pine; also where the init could not
    // tell what it started.
    script.push(again, 'mv /.pine/cmdline /.pine/away', `${pine} container undo`)
    script.push('mv /.pine/away /.pine/cmdline', `${pine} container undo`)
    commitNode('node', script)
    const before = listing()
    await shop.ok(`container init ${WHAT} --ostree @bare-repo --ref node`)
    const { output } = startRoot(root)
    const report = JSON.parse(/^\{$[\s\S]*?^\}$/m.exec(output)?.[0] ?? '')
    expect(report, output).toMatchObject({
      live: true,
      loaderSeesState: true,
      nextBoot: 'a',
      trial: { slot: 'a', version: '1.0' },
    })
    expect(output).toContain('1.0 in slot a is permanent')
    expect(output.match(/^deadline$/gm)).toHaveLength(1)
    // From within the slot: the old system is next, and there the rest goes.
    expect(output).toContain('TAKEOVER_ORDER: this container has its slots already')
    expect(output).toContain('TAKEOVER_ORDER: the slots are in use: /.pine')
    expect(output).toContain('the old system starts next')
    expect(systems()).toEqual(['old'])
    await shop.ok('container undo --root @root')
    expect(listing()).toBe(before)
  })

  test('is done once', async () => {
    await shop.ok(`container init ${WHAT}`)
    await expectError(`container init ${WHAT}`, 'TAKEOVER_ORDER', /slots already/)
  })
})

describe.skipIf(reason !== undefined)('container init --exchange', () => {
  const start = () => systems('no-mounts')
  const status = async () => (await shop.ok('status --verify --disk @root/.pine --json')).json()
  const on = '--disk @root/.pine --config @host.toml'

  beforeAll(async () => {
    if (reason !== undefined) return
    const next = shop.path('next')
    execFileSync('cp', ['-a', shop.path('release'), next])
    write(join(next, 'etc/release'), 'shipped again\n')
    ostree('commit', `--repo=${shop.path('repo')}`, '--branch=next', `--tree=dir=${next}`)
    mkdirSync(shop.path('keys'), { recursive: true })
    await shop.ok('key generate --out @keys/ci')
    const names = '--release 2.0 --compatible web --key @keys/ci.key --out @2.0.bundle'
    await shop.ok(`bundle create --tree --no-changes --ostree @repo --from web --to next ${names}`)
    write(shop.path('host.toml'), `keyring = "${shop.path('keys')}"\n`)
  })

  test('starts the commit where nothing may be mounted, and undo gives all back', async () => {
    const before = listing()
    await shop.ok(`container init ${WHAT} --exchange`)
    expect(start()).toEqual(['a mine'])
    expect(existsSync(join(root, 'lib/systemd'))).toBe(false)
    // The old system is in the folder of slot a now: nothing may remove that.
    await expectError(`container init ${WHAT} --exchange`, 'TAKEOVER_ORDER', /slots already/)
    expect((await shop.ok('container undo --root @root')).stdout).toContain('the old system starts next')
    expect(start()).toEqual(['old'])
    expect((await shop.ok('container undo --root @root')).stdout).toContain('as it was')
    expect(listing()).toBe(before)
    expect(start()).toEqual(['old'])
  })

  test('cut off anywhere leaves a container that starts, and is done by the same command again', async () => {
    calls = 0
    await shop.ok(`container init ${WHAT} --exchange`)
    const all = calls
    await shop.ok('container undo --root @root')
    const before = listing()
    for (let cut = all - 9; cut < all; cut++) {
      callsLeft = cut
      expect((await shop.pine(`container init ${WHAT} --exchange`)).exit).not.toBe(0)
      callsLeft = Number.POSITIVE_INFINITY
      expect(['old', 'a mine']).toContain(start()[0])
      const again = await shop.pine(`container init ${WHAT} --exchange --json`)
      expect(again.exit === 0 || again.json().error.code === 'TAKEOVER_ORDER', `cut ${cut}`).toBe(true)
      expect(start(), `cut ${cut}`).toEqual(['a mine'])
      await shop.ok('container undo --root @root')
      start()
      await shop.ok('container undo --root @root')
      expect(listing(), `cut ${cut}`).toBe(before)
    }
  })

  test('is on trial: a release that gives no verdict leads back to the old system', async () => {
    await shop.ok(`container init ${WHAT} --exchange`)
    const names = Array.from({ length: 5 }, start).flat()
    expect(names).toEqual(['a mine', 'a mine', 'a mine', 'old', 'old'])
    await shop.ok('container undo --root @root')
    expect(start()).toEqual(['old'])
  })

  test('is updated by a bundle of trees, and says which slot cannot be compared', async () => {
    await shop.ok(`container init ${WHAT} --exchange`)
    expect((await status()).slots[0]).toMatchObject({ verified: true })
    start()
    expect(await status()).toMatchObject({ slots: [{ verified: null }, { image: null }], problems: [] })
    expect((await shop.ok('status --verify --disk @root/.pine')).stdout).toContain(
      'not read    slot a: it is the root of this container',
    )
    await shop.ok(`confirm ${on}`)
    await shop.ok(`apply @2.0.bundle ${on}`)
    expect((await status()).slots).toMatchObject([{ verified: null }, { verified: true }])
    // The files of the root are not those of the repository: what is done to them does not reach the next release.
    expect(start()).toEqual(['a mine'])
    expect(readFileSync(join(root, 'etc/release'), 'utf8')).toBe('shipped again\n')
    expect((await status()).slots).toMatchObject([{ verified: true }, { verified: null }])
  })

  test('sees the slot that runs from within, confirms it, and gives it up', async () => {
    commitNode('node-exchanged', [`${pine} status --json`, `${pine} confirm`, `${pine} container undo`])
    const before = listing()
    await shop.ok(`container init ${WHAT} --ostree @bare-repo --ref node-exchanged --exchange`)
    const { output } = startRoot(root, 'no-mounts')
    const report = JSON.parse(/^\{$[\s\S]*?^\}$/m.exec(output)?.[0] ?? '')
    expect(report, output).toMatchObject({ live: true, nextBoot: 'a', trial: { slot: 'a', version: '1.0' } })
    expect(output).toContain('1.0 in slot a is permanent')
    expect(output).toContain('the old system starts next')
    expect(start()).toEqual(['old'])
    await shop.ok('container undo --root @root')
    expect(listing()).toBe(before)
  })

  test('a slot at the root, or in an exchange that was cut off, is not made anew', async () => {
    await shop.ok(`container init ${WHAT} --exchange`)
    start()
    await shop.ok(`confirm ${on}`)
    const file = join(root, '.pine/exchange')
    const journal = readFileSync(file, 'utf8')
    for (const [line, why] of [
      ['b 00000001 - 00000001 b b 00000001 1', /slot b is at the root/],
      ['r 00000000 b 00000001 b a 00000001 1', /was cut off/],
      ['a', /was cut off/],
    ] as const) {
      writeFileSync(file, journal.replace(/^a .*/m, line))
      await expectError(`apply @2.0.bundle ${on}`, 'DISK_IN_USE', why)
      const undone = await shop.ok('container undo --root @root')
      expect(undone.stdout).toContain('the old system starts next')
      rmSync(join(root, '.pine/undo'))
    }
  })

  test('is what a container that may not mount is told to use', () => {
    const init = `${pine} container init --ostree /x --ref x --compatible web --release 1.0 --dry-run`
    rmSync(join(root, 'sbin/init'))
    putNode(root, 'sbin/init', [init, `${init} --exchange`])
    process.env.container = 'lxc'
    try {
      const { output } = startRoot(root, 'no-mounts')
      expect(output).toContain(
        'TAKEOVER_REFUSED: this container may not mount; "container init --exchange" does without',
      )
      expect(output).toContain('goes into /.pine: "pine-update container undo" brings it back')
      expect(startRoot(root).output).toContain('the system that is there stays as it is')
    } finally {
      delete process.env.container
    }
  })

  test('is refused where folders cannot be exchanged', async () => {
    rmSync(join(root, 'bin/cmp'))
    await expectError(
      `container init ${WHAT} --exchange`,
      'TAKEOVER_REFUSED',
      /the old system lacks program cmp/,
    )
    symlinkSync('busybox', join(root, 'bin/cmp'))
    mkdirSync(join(root, 'opt'))
    execFileSync('mount', ['--bind', join(root, 'opt'), join(root, 'opt')])
    try {
      await expectError(`container init ${WHAT} --exchange`, 'TAKEOVER_REFUSED', /opt is a mount of its own/)
    } finally {
      execFileSync('umount', [join(root, 'opt')])
    }
    const layers = ['upper', 'work'].map((name) => `${name}dir=${shop.path(name)}`)
    for (const name of ['upper', 'work', 'merged']) mkdirSync(shop.path(name))
    const options = [`lowerdir=${root}`, ...layers].join()
    execFileSync('mount', ['-t', 'overlay', '-o', options, 'overlay', shop.path('merged')])
    try {
      const request = `container init ${WHAT} --root @merged --exchange`
      await expectError(request, 'TAKEOVER_REFUSED', /the root is an overlay/)
    } finally {
      execFileSync('umount', [shop.path('merged')])
    }
  })
})
