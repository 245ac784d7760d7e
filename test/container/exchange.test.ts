import { execFileSync } from 'node:child_process'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { EXCHANGED } from '../../src/container/problems.ts'
import { arm, confirm, initialBootState, startOnce } from '../../src/model/boot-state.ts'
import { buildInit, type Container, makeContainer, PROBLEM } from './support.ts'

/** In `exchange.c`: status of an init that was ended behind a write of the journal or a rename. */
const FAULT = 99
const SHARED = ['dev', 'home', 'mnt', 'proc', 'root', 'run', 'srv', 'sys', 'tmp', 'var']

let dir: string
let box: Container

beforeAll(() => {
  if (PROBLEM !== undefined) return
  dir = mkdtempSync(join(tmpdir(), 'pine-exchange-'))
  buildInit(join(dir, 'init'))
})
afterEach(() => {
  delete process.env.PINE_FAULT
  box?.close()
})
afterAll(() => dir && rmSync(dir, { recursive: true, force: true }))

const RESTING = 'pine-exchange 1\nr 00000000 - 00000000 r r 00000000 0\nend\n'

/** Says of itself what it is made of. */
const INIT = `#!/bin/sh
echo "system: $(cat /usr/name) $(cat /etc/which)"
`

function make(): Container {
  box = makeContainer(join(dir, 'init'), confirm(initialBootState('a'), 'a'))
  writeFileSync(box.path('.pine/exchange'), RESTING)
  for (const [name, side] of [
    ['old', ''],
    ['a', '.pine/slots/a/'],
    ['b', '.pine/slots/b/'],
  ] as const) {
    box.write(`${side}sbin/${side === '' ? 'init.pine-old' : 'init'}`, INIT, 0o755)
    box.write(`${side}etc/which`, `${name}\n`)
    box.write(`${side}var/lib/dpkg/status`, `${name}\n`)
  }
  // Names that only one side has.
  mkdirSync(box.path('opt'))
  mkdirSync(box.path('.pine/slots/b/lib32'))
  mkdirSync(box.path('.pine/slots/b/app'))
  return box
}

/** Which entries are where, by inode; those of slots with what is at rest there alone. */
const listing = (folder: string): string[] =>
  readdirSync(box.path(folder))
    .filter((name) => !SHARED.includes(name) && name !== '.pine')
    .concat('var/lib/dpkg')
    .sort()
    .map((name) => `${name} ${lstatSync(box.path(join(folder, name))).ino}`)

/** Names, kinds, inodes and contents of all that is in a folder. */
const tree = (folder: string): string => {
  const script = `find . -path ./.pine -prune -o -printf '%p %y %i %l\\n' | sort; find . -type f -exec sha256sum {} + | sort`
  return execFileSync('sh', ['-c', script], { cwd: box.path(folder), encoding: 'utf8' })
}

const start = () => {
  const { output, status } = box.start('no-mounts')
  const systems = [...output.matchAll(/^system: (.*) (.*)$/gm)].map(([, name, which]) =>
    name === which ? name : `${name} with /etc of ${which}`,
  )
  return { systems, output, status }
}
const startTarget = async (target: 'a' | 'b' | 'r') => {
  await box.setState((state) => startOnce(target === 'r' ? state : arm(state, target), target))
  return start()
}

test('what changes places is what container init looks at', () => {
  const source = readFileSync(join(import.meta.dirname, '../../native/container-init/settle.c'), 'utf8')
  const names = ['SYSTEM', 'DATABASES'].flatMap((list) => {
    const [, text = ''] = new RegExp(`${list}\\[\\] = \\{(.*)\\}`).exec(source) ?? []
    return text.split(', ').map((name) => name.slice(1, -1))
  })
  expect(EXCHANGED).toEqual(expect.arrayContaining(names))
  expect(names).toHaveLength(11)
})

describe.skipIf(PROBLEM !== undefined)('a container that may not mount', () => {
  test('starts slot a, b once it is armed, and the old system, each with its own entries', async () => {
    make()
    const before = listing('/')
    expect(start()).toMatchObject({ systems: ['a'] })
    expect(readFileSync(box.path('usr/name'), 'utf8')).toBe('a\n')
    await box.setState((state) => arm(state, 'b'))
    expect(start()).toMatchObject({ systems: ['b'] })
    expect(box.read('.pine/cmdline')).toMatch(/^pine.slot=b /)
    expect(await startTarget('r')).toMatchObject({ systems: ['old'] })
    expect(listing('/')).toEqual(before)
  })

  test('brings what else the release has at its top, and its package database', async () => {
    make()
    await box.setState((state) => arm(state, 'b'))
    start()
    expect([existsSync(box.path('app')), box.read('var/lib/dpkg/status')]).toEqual([true, 'b\n'])
    await startTarget('r')
    expect([existsSync(box.path('app')), box.read('var/lib/dpkg/status')]).toEqual([false, 'old\n'])
  })

  test('leaves a slot that does not run as it is in its commit', async () => {
    make()
    const before = tree('.pine/slots/b')
    await box.setState((state) => arm(state, 'b'))
    start()
    expect(box.read('.pine/exchange')).toMatch(/^pine-exchange 1\nb 00000003 - /)
    await startTarget('a')
    expect(tree('.pine/slots/b')).toBe(before)
  })

  test('carries local changes of /etc into a new release, and gives the old one its own back', async () => {
    make()
    start()
    box.write('etc/local', 'mine\n')
    await box.setState((state) => arm(state, 'b'))
    start()
    expect([box.read('etc/which'), box.read('etc/local')]).toEqual(['b\n', 'mine\n'])
    box.write('etc/local', 'changed in b\n')
    await box.setState((state) => startOnce(state, 'a'))
    start()
    expect([box.read('etc/which'), box.read('etc/local')]).toEqual(['a\n', 'mine\n'])
  })

  test('takes what the host edited with it, on every way, and not what a release brought', async () => {
    make()
    box.write('etc/hostname', 'one\n')
    box.write('.pine/slots/b/etc/netplan/of-b', 'shipped\n')
    start()
    expect(box.read('etc/hostname')).toBe('one\n')
    box.write('etc/hostname', 'two\n')
    await box.setState((state) => confirm(arm(state, 'b'), 'b'))
    start()
    expect([box.read('etc/hostname'), box.read('etc/netplan/of-b')]).toEqual(['two\n', 'shipped\n'])
    // Back to what it was before: it was changed in b all the same.
    box.write('etc/hostname', 'one\n')
    box.write('etc/resolv.conf', 'nameserver 192.0.2.1\n')
    await box.setState((state) => startOnce(state, 'a'))
    start()
    expect([box.read('etc/hostname'), box.read('etc/resolv.conf')]).toEqual([
      'one\n',
      'nameserver 192.0.2.1\n',
    ])
    expect(existsSync(box.path('etc/netplan'))).toBe(false)
    rmSync(box.path('etc/resolv.conf'))
    await startTarget('r')
    expect([box.read('etc/which'), box.read('etc/hostname')]).toEqual(['old\n', 'one\n'])
    expect(existsSync(box.path('etc/resolv.conf'))).toBe(false)
  })

  test('makes a new /etc where the slot at the root is armed again', async () => {
    make()
    start()
    box.write('etc/local', 'mine\n')
    await box.setState((state) => arm(state, 'a'))
    expect(start()).toMatchObject({ systems: ['a'] })
    expect(box.read('.pine/exchange')).toMatch(/^pine-exchange 1\na 00000003 - /)
    expect(existsSync(box.path('etc/local'))).toBe(false)
    expect(await startTarget('r')).toMatchObject({ systems: ['old'] })
  })

  test('goes back from a release that cannot even run a shell', async () => {
    make()
    start()
    await box.setState((state) => arm(state, 'b', 1))
    rmSync(box.path('.pine/slots/b/bin/sh'))
    const { systems, output } = start()
    expect(systems, output).toEqual(['a'])
    expect(output).toContain('cannot run /bin/sh')
  })

  test('has its old system back where undo asks for it, started by itself', async () => {
    make()
    const before = listing('/')
    start()
    writeFileSync(box.path('.pine/undo'), '')
    expect(start()).toMatchObject({ systems: ['old'] })
    expect(listing('/')).toEqual(before)
    expect(box.read('sbin/init')).toBe(INIT)
    expect(readdirSync(box.path('sbin'))).toEqual(['init'])
    expect(readdirSync(box.path('.pine'))).not.toContain('cmdline')
  })

  test('is back in slot a once an init that crashes has used up its tries', async () => {
    make()
    start()
    box.write('.pine/slots/b/sbin/init', '#!/bin/sh\nkill -9 $$\nexit 1\n', 0o755)
    await box.setState((state) => arm(state, 'b', 2))
    expect(start()).toMatchObject({ systems: [] })
    expect(start()).toMatchObject({ systems: [] })
    expect(start()).toMatchObject({ systems: ['a'] })
  })

  test('a slot without an init changes nothing at the root', async () => {
    make()
    rmSync(box.path('.pine/slots/b/sbin/init'))
    await box.setState((state) => arm(state, 'b'))
    const { systems, output } = start()
    expect(systems).toEqual(['a'])
    expect(output).toContain('slot b has no /sbin/init that can be run')
  })

  test.each([
    ['a', 'folder'],
    ['r', 'link to usr/sbin'],
  ] as const)(
    'ended behind any write or rename on the way from %s, its sbin a %s, the next start is whole',
    async (from, sbin) => {
      make()
      if (sbin !== 'folder') {
        // What leads to our init goes away with /usr.
        renameSync(box.path('sbin'), box.path('usr/sbin'))
        symlinkSync('usr/sbin', box.path('sbin'))
        rmSync(box.path('usr/sbin/init'))
        symlinkSync('../../.pine/init', box.path('usr/sbin/init'))
      }
      start()
      await startTarget('r')
      const [old, a, b] = [listing('/'), listing('.pine/slots/a'), listing('.pine/slots/b')]
      let faults = 0
      for (let fault = 1; ; fault++) {
        await startTarget(from)
        process.env.PINE_FAULT = String(fault)
        const cut = await startTarget('b')
        delete process.env.PINE_FAULT
        if (cut.status !== FAULT) {
          expect(cut).toMatchObject({ systems: ['b'] })
          break
        }
        faults++
        // Alternately on to the slot it was going to, and back to where it came from.
        const target = fault % 2 === 0 ? 'b' : from
        expect(await startTarget(target), `${from} ${fault}`).toMatchObject({
          systems: [target === 'r' ? 'old' : target],
        })
        expect(await startTarget('r')).toMatchObject({ systems: ['old'] })
        expect([listing('/'), listing('.pine/slots/a'), listing('.pine/slots/b')]).toEqual([old, a, b])
      }
      expect(faults).toBeGreaterThan(12)
    },
    120_000,
  )

  test('an entry that cannot be renamed takes the others back with it', async () => {
    make()
    const before = [listing('/'), listing('.pine/slots/a')]
    execFileSync('chattr', ['+i', box.path('usr')])
    try {
      const { systems, output } = start()
      expect([systems, output]).toEqual([['old'], expect.stringContaining('cannot exchange /usr')])
    } finally {
      execFileSync('chattr', ['-i', box.path('usr')])
    }
    expect([listing('/'), listing('.pine/slots/a')]).toEqual(before)
    expect(start()).toMatchObject({ systems: ['a'] })
  })

  test('what is in no place where it could be stops everything, and nothing is lost once it is back', async () => {
    make()
    const before = [listing('/'), listing('.pine/slots/a')]
    // Cut off where /etc has changed places and /usr has not.
    for (let fault = 1; box.read('etc/which') !== 'a\n'; fault++) {
      process.env.PINE_FAULT = String(fault)
      expect(start().status).toBe(FAULT)
    }
    delete process.env.PINE_FAULT
    const away = ['.pine/etc/a.00000001', '.pine/slots/a/usr'].map(
      (name) => [box.path(name), box.path(`${name}.away`)] as const,
    )
    for (const [path, aside] of away) renameSync(path, aside)
    expect(box.start('no-mounts', 3000).output).toContain('etc is neither in the root nor in slot a')
    for (const [path, aside] of away) renameSync(aside, path)
    expect(await startTarget('a')).toMatchObject({ systems: ['a'] })
    expect(await startTarget('r')).toMatchObject({ systems: ['old'] })
    expect([listing('/'), listing('.pine/slots/a')]).toEqual(before)
    expect(readlinkSync(box.path('sbin/init'))).toBe('../.pine/init')
  })

  test('with a torn journal nothing is renamed, what is at the root starts, and nothing calls it the old system', () => {
    make()
    start()
    const before = listing('/')
    const journal = box.read('.pine/exchange')
    writeFileSync(box.path('.pine/exchange'), journal.slice(0, -5))
    const { systems, output } = start()
    expect(systems).toEqual(['a'])
    expect(output).toContain('cannot be read: nothing is exchanged')
    expect(listing('/')).toEqual(before)
    expect(readdirSync(box.path('.pine'))).not.toContain('cmdline')
  })
})
