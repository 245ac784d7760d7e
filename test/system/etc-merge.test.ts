import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import fc from 'fast-check'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'

const SCRIPT = join(import.meta.dirname, '../../src/system/etc-merge')

/** A folder as text: content by path; `-> x` is a symbolic link, `(0600) x` sets a mode, null a folder. */
type Tree = Record<string, string | null>

let top: string
beforeEach(() => {
  top = mkdtempSync(join(tmpdir(), 'pine-etc-'))
})
afterEach(() => rmSync(top, { recursive: true, force: true }))

function write(name: string, tree: Tree): string {
  const folder = join(top, name)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder)
  for (const [path, content] of Object.entries(tree)) {
    const to = join(folder, path)
    mkdirSync(content === null ? to : dirname(to), { recursive: true })
    if (content?.startsWith('-> ')) symlinkSync(content.slice(3), to)
    else if (content !== null) writeFile(to, content)
  }
  return folder
}

function writeFile(path: string, content: string): void {
  const [, mode, text] = /^\((0\d+)\) (.*)$/s.exec(content) ?? [undefined, '0644', content]
  writeFileSync(path, text ?? '')
  chmodSync(path, Number.parseInt(mode ?? '', 8))
}

function read(folder: string): Tree {
  const tree: Tree = {}
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort()) {
    const path = join(folder, name)
    const info = lstatSync(path)
    if (info.isSymbolicLink()) tree[name] = `-> ${readlinkSync(path)}`
    else if (info.isFile()) {
      const mode = info.mode & 0o7777
      tree[name] = `${mode === 0o644 ? '' : `(0${mode.toString(8)}) `}${readFileSync(path, 'utf8')}`
    } else if (readdirSync(path).length === 0) tree[name] = null
  }
  return tree
}

interface Shell {
  argv: string[]
  path: string
}

const toolDir = mkdtempSync(join(tmpdir(), 'pine-busybox-'))
afterAll(() => rmSync(toolDir, { recursive: true, force: true }))

/** The host's tools under dash, and busybox for everything, as in the initramfs. */
function shells(): Record<string, Shell> {
  const found: Record<string, Shell> = { dash: { argv: ['dash'], path: process.env.PATH ?? '' } }
  try {
    execFileSync('busybox', ['--install', '-s', toolDir])
    found.busybox = { argv: ['busybox', 'sh'], path: toolDir }
  } catch {
    console.warn('skipped: etc-merge under busybox, since busybox is not installed')
  }
  return found
}

interface Case {
  base: Tree
  ours: Tree
  theirs: Tree
}

function merge(shell: Shell, { base, ours, theirs }: Case): Tree {
  const folders = [write('base', base), write('ours', ours), write('theirs', theirs)]
  const result = join(top, 'new')
  rmSync(result, { recursive: true, force: true })
  cpSync(join(top, 'theirs'), result, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true })
  const [program = 'sh', ...args] = shell.argv
  const env = { PATH: `${shell.path}${program === 'busybox' ? ':/bin:/usr/bin' : ''}` }
  execFileSync(program, [...args, SCRIPT, ...folders, result], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  return read(result)
}

const CONFLICTS = '.pine-new/CONFLICTS'

describe.each(Object.entries(shells()))('etc-merge under %s', (_name, shell) => {
  test('takes what only the release changed, keeps what only we changed', () => {
    const merged = merge(shell, {
      base: { motd: 'one', 'ssh/sshd_config': 'Port 22', 'apt/old.list': 'x' },
      ours: { motd: 'one', 'ssh/sshd_config': 'Port 2222', 'apt/old.list': 'x', 'my/app.conf': 'mine' },
      theirs: { motd: 'two', 'ssh/sshd_config': 'Port 22', 'new.conf': 'new' },
    })
    expect(merged).toEqual({
      motd: 'two',
      'ssh/sshd_config': 'Port 2222',
      'my/app.conf': 'mine',
      'new.conf': 'new',
    })
  })

  test('both changed: ours stays, theirs lies beside, the report names it', () => {
    const merged = merge(shell, {
      base: { 'ssh/sshd_config': 'a' },
      ours: { 'ssh/sshd_config': '(0600) b' },
      theirs: { 'ssh/sshd_config': 'c' },
    })
    expect(merged).toEqual({
      'ssh/sshd_config': '(0600) b',
      '.pine-new/ssh/sshd_config': 'c',
      [CONFLICTS]: '(0644) both-changed ssh/sshd_config\n'.slice(7),
    })
  })

  test('both made the same change: nothing to report', () => {
    const merged = merge(shell, { base: { f: 'a' }, ours: { f: 'b' }, theirs: { f: 'b' } })
    expect(merged).toEqual({ f: 'b' })
  })

  test('deleted here: stays deleted unless the release changed it', () => {
    const merged = merge(shell, {
      base: { gone: 'a', touched: 'a', 'd/one': '1', 'd/two': '2', 'e/one': '1' },
      ours: {},
      theirs: { gone: 'a', touched: 'b', 'd/one': '1', 'd/two': '2', 'd/three': '3', 'e/one': '1' },
    })
    expect(merged).toEqual({ touched: 'b', 'd/three': '3', [CONFLICTS]: 'deleted-here touched\n' })
  })

  test('deleted by the release, edited here: ours stays, with its folders', () => {
    const merged = merge(shell, {
      base: { 'svc/a.conf': 'a', 'svc/b.conf': 'b' },
      ours: { 'svc/a.conf': 'mine', 'svc/b.conf': 'b' },
      theirs: {},
    })
    expect(merged).toEqual({ 'svc/a.conf': 'mine', [CONFLICTS]: 'deleted-by-release svc/a.conf\n' })
  })

  test('kinds that change: file, link and folder', () => {
    const merged = merge(shell, {
      base: {
        link: '-> a',
        file: 'x',
        'folder/f': '1',
        'folder2/f': '1',
        'folder2/g': '1',
        'folder3/f': '1',
      },
      ours: {
        link: '-> b',
        file: '-> elsewhere',
        folder: '-> other',
        'folder2/f': 'mine',
        'folder2/g': '1',
        'folder3/f': '1',
      },
      theirs: { link: '-> a', file: 'x', 'folder/f': '1', folder2: '-> theirs', folder3: '-> theirs' },
    })
    expect(merged).toEqual({
      link: '-> b',
      file: '-> elsewhere',
      folder: '-> other',
      'folder2/f': 'mine',
      folder3: '-> theirs',
      '.pine-new/folder/f': '1',
      '.pine-new/folder2': '-> theirs',
      [CONFLICTS]: expect.stringContaining('replaced folder2\n'),
    })
  })

  test('a changed mode alone is an edit', () => {
    const merged = merge(shell, { base: { f: 'a' }, ours: { f: '(0600) a' }, theirs: { f: 'a' } })
    expect(merged).toEqual({ f: '(0600) a' })
  })

  test('identity is ours without a report, generated files are theirs', () => {
    const merged = merge(shell, {
      base: { 'machine-id': '', 'ld.so.cache': 'old', hostname: 'debian' },
      ours: {
        'machine-id': 'abc',
        'ld.so.cache': 'ours',
        hostname: 'web1',
        'ssh/ssh_host_ed25519_key': '(0600) k',
      },
      theirs: { 'machine-id': 'uninitialized', 'ld.so.cache': 'new', hostname: 'release2' },
    })
    expect(merged).toEqual({
      'machine-id': 'abc',
      'ld.so.cache': 'new',
      hostname: 'web1',
      'ssh/ssh_host_ed25519_key': '(0600) k',
    })
  })

  test('what nobody looked at since the last update stays on show', () => {
    const merged = merge(shell, {
      base: { f: 'a' },
      ours: { f: 'mine', '.pine-new/f': 'a', [CONFLICTS]: 'both-changed f\n' },
      theirs: { f: 'a' },
    })
    expect(merged).toEqual({ f: 'mine', '.pine-new/f': 'a', [CONFLICTS]: 'both-changed f\n' })
  })

  test('names with blanks, dots and glob characters', () => {
    const odd: Tree = { 'a b': '1', '.hidden': '2', '..odd': '3', '*': '4', '[x]/-f': '5' }
    expect(merge(shell, { base: {}, ours: odd, theirs: {} })).toEqual(odd)
  })

  test('accounts are merged by name: local users stay, system users of the release come in', () => {
    const merged = merge(shell, {
      base: {
        passwd: 'root:x:0:0::/root:/bin/bash\nwww:x:33:33::/:/bin/sh\n',
        shadow: '(0640) root:*:1::::::\n',
      },
      ours: {
        passwd:
          'root:x:0:0::/root:/bin/zsh\nwww:x:33:33::/:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/bash\n',
        shadow: '(0640) root:$hash:2::::::\nalice:$a:2::::::\n',
      },
      theirs: {
        passwd: 'root:x:0:0::/root:/bin/sh\nwww:x:33:33::/:/usr/sbin/nologin\nsvc:x:120:120::/:/bin/false\n',
        shadow: '(0640) root:*:1::::::\nsvc:!:1::::::\n',
      },
    })
    expect(merged).toEqual({
      passwd:
        'root:x:0:0::/root:/bin/zsh\nwww:x:33:33::/:/usr/sbin/nologin\nalice:x:1000:1000::/home/alice:/bin/bash\nsvc:x:120:120::/:/bin/false\n',
      shadow: '(0640) root:$hash:2::::::\nalice:$a:2::::::\nsvc:!:1::::::\n',
    })
  })

  test('ids stay what they are here, and one that is taken moves', () => {
    const merged = merge(shell, {
      base: { group: 'db:x:105:\n', passwd: 'db:x:105:105::/:/bin/false\n' },
      ours: {
        group: 'db:x:105:bob\napp:x:110:\n',
        passwd: 'db:x:105:105::/:/bin/false\napp:x:110:110::/:/bin/sh\n',
      },
      theirs: {
        group: 'db:x:106:eve\nsvc:x:110:\n',
        passwd: 'db:x:106:106::/:/bin/false\nsvc:x:111:110::/:/bin/false\n',
      },
    })
    expect(merged.group).toBe('db:x:105:bob,eve\napp:x:110:\nsvc:x:999:\n')
    expect(merged.passwd).toBe(
      'db:x:105:105::/:/bin/false\napp:x:110:110::/:/bin/sh\nsvc:x:111:999::/:/bin/false\n',
    )
    expect(merged[CONFLICTS]?.split('\n')).toEqual([
      'id-differs group:db: 105 here, 106 in the release',
      'id-moved group:svc: 110 is taken, now 999',
      'id-differs passwd:db: 105 here, 106 in the release',
      '',
    ])
  })

  test('a result that cannot be written ends it with an error', () => {
    const folders = [write('base', {}), write('ours', { f: 'mine' }), write('theirs', {})]
    expect(() =>
      execFileSync(shell.argv[0] ?? '', [...shell.argv.slice(1), SCRIPT, ...folders, join(top, 'missing')], {
        stdio: 'pipe',
      }),
    ).toThrow()
  })

  test('for any three trees: repeating changes nothing, and no edit of ours is lost', {
    timeout: 240_000,
  }, () => {
    const content = fc.constantFrom('1', '2', '3', '-> 1', '-> 2')
    const names = ['a', 'b', 'd/a', 'd/b', 'd/e/a', 'f/a']
    const tree: fc.Arbitrary<Tree> = fc
      .uniqueArray(fc.tuple(fc.constantFrom(...names), content), { selector: ([name]) => name })
      .map((entries) => Object.fromEntries(entries))
    fc.assert(
      fc.property(tree, tree, tree, (base, ours, theirs) => {
        const merged = merge(shell, { base, ours, theirs })
        for (const [path, mine] of Object.entries(ours)) {
          if (base[path] !== mine) expect(merged[path], `our ${path}`).toBe(mine)
        }
        for (const [path, shipped] of Object.entries(theirs)) {
          if (base[path] !== shipped && ours[path] === base[path]) expect(merged[path]).toBe(shipped)
        }
        const again = merge(shell, { base: theirs, ours: merged, theirs })
        expect(again).toEqual(merged)
      }),
      { numRuns: 25 },
    )
  })
})

describe('with real overlays, as in the initramfs', () => {
  test('whiteouts and opaque folders of the old upper are carried into the new one', (context) => {
    if (process.getuid?.() !== 0) return context.skip('needs root to mount overlays')
    const folders = [
      write('base', { gone: 'a', 'd/old': '1', 'd/too': '2', keep: 'k' }),
      write('theirs', { gone: 'a', 'd/old': '1', 'd/too': '2', 'd/new': '3', keep: 'k2' }),
    ]
    for (const name of ['up', 'work', 'newup', 'newwork', 'ours', 'new']) mkdirSync(join(top, name))
    try {
      overlay(`lowerdir=${folders[0]},upperdir=${join(top, 'up')},workdir=${join(top, 'work')}`, 'ours')
    } catch (error) {
      return context.skip(`cannot mount an overlay here: ${String(error)}`)
    }
    rmSync(join(top, 'ours/gone'))
    rmSync(join(top, 'ours/d'), { recursive: true })
    mkdirSync(join(top, 'ours/d'))
    writeFileSync(join(top, 'ours/d/mine'), 'm')
    execFileSync('umount', [join(top, 'ours')])
    expect(lstatSync(join(top, 'up/gone')).isCharacterDevice()).toBe(true)

    overlay(`ro,lowerdir=${join(top, 'up')}:${folders[0]}`, 'ours')
    overlay(`lowerdir=${folders[1]},upperdir=${join(top, 'newup')},workdir=${join(top, 'newwork')}`, 'new')
    try {
      const args = [folders[0] ?? '', join(top, 'ours'), folders[1] ?? '', join(top, 'new'), join(top, 'up')]
      execFileSync('dash', [SCRIPT, ...args])
      expect(read(join(top, 'new'))).toEqual({ 'd/mine': 'm', 'd/new': '3', keep: 'k2' })
    } finally {
      execFileSync('umount', [join(top, 'ours')])
      execFileSync('umount', [join(top, 'new')])
    }
    expect(lstatSync(join(top, 'newup/gone')).isCharacterDevice()).toBe(true)
    expect(existsSync(join(top, 'newup/keep'))).toBe(false)
  })
})

function overlay(options: string, name: string): void {
  execFileSync('mount', ['-t', 'overlay', '-o', options, 'overlay', join(top, name)], { stdio: 'pipe' })
}
