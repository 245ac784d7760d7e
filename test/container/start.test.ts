import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { arm, confirm, initialBootState, startOnce } from '../../src/model/boot-state.ts'
import { buildInit, type Container, makeContainer, PROBLEM } from './support.ts'

let dir: string
let box: Container

beforeAll(() => {
  if (PROBLEM !== undefined) return
  dir = mkdtempSync(join(tmpdir(), 'pine-shim-'))
  buildInit(join(dir, 'init'))
})
afterEach(() => box?.close())
afterAll(() => dir && rmSync(dir, { recursive: true, force: true }))

const make = (): Container => {
  box = makeContainer(join(dir, 'init'), initialBootState('a'))
  return box
}
const systems = (output: string): string[] =>
  [...output.matchAll(/^system: (\S+)$/gm)].map(([, name = '']) => name)

describe.skipIf(PROBLEM !== undefined)('a container', () => {
  test.each(['pivot', 'chroot'] as const)('starts slot a, and b once it is armed (%s)', async (how) => {
    make()
    expect(systems(box.start(how).output)).toEqual(['a'])
    expect(await box.state()).toMatchObject({ last: 'a', slots: { a: { left: 2 } } })
    await box.setState((state) => arm(state, 'b'))
    const { output, status } = box.start(how)
    expect([systems(output), status], output).toEqual([['b'], 0])
  })

  test('has a read-only root, its own /etc, and the rest of the container', () => {
    make()
    box.write('home/me/note', 'mine')
    const script = [
      '(echo x > /usr/x) 2>/dev/null && echo writable',
      'echo local > /etc/local; cat /home/me/note > /var/note',
      'ls /.pine/outer/sbin; cat /.pine/cmdline; cut -d" " -f22 /proc/1/stat 2>/dev/null || cat /proc/1/stat',
    ]
    box.write('.pine/slots/a/sbin/init', `#!/bin/sh\n${script.join('\n')}\n`, 0o755)
    const { output } = box.start()
    expect(output).not.toContain('writable')
    expect(output).toContain('init.pine-old')
    const [, told] =
      /^pine\.slot=a pine\.left=2 pine\.seq=00000001 pine\.gen=00000001 pine\.st=0 pine\.init=(\d+)$/m.exec(
        output,
      ) ?? []
    const [, started] = /^1 \(.*\) (?:\S+ ){19}(\d+)/m.exec(output) ?? []
    expect([told, Number(told) > 0], output).toEqual([started, true])
    expect([box.read('var/note'), box.read('.pine/etc/a.00000001/local')]).toEqual(['mine', 'local\n'])
    expect(existsSync(box.path('etc/local'))).toBe(false)
  })

  test('that is unprivileged starts its slot read-only, with the volumes and files that its host mounted', () => {
    make()
    box.write('etc/mounted', '')
    box.write('.pine/slots/a/etc/mounted', '')
    mkdirSync(box.path('.pine/slots/a/volume'))
    const script =
      '(echo x > /usr/x) 2>/dev/null && echo writable; cat /volume/note /etc/mounted; ls /run; cat /usr/name'
    box.write('.pine/slots/a/sbin/init', `#!/bin/sh\n${script}\n`, 0o755)
    const { output } = box.start('unprivileged')
    expect(output).toMatch(/^mounted\nmounted\na\npine-update: trying a\n/)
    expect(output).not.toContain('writable')
  })

  test('starts a where b has no place for what every slot needs, and says what else has none', async () => {
    make()
    await box.setState((state) => arm(state, 'b'))
    rmSync(box.path('.pine/slots/b/proc'), { recursive: true })
    box.write('etc/mounted', '')
    const { output } = box.start('unprivileged')
    expect(output).toContain('the slot has no folder /proc')
    expect(output).toContain('the slot has no place for the mount /volume')
    expect(systems(output)).toEqual(['a'])
  })

  test('goes back to a when the init of b crashes, once its tries are spent', async () => {
    make()
    await box.setState((state) => arm(state, 'b', 2))
    box.write('.pine/slots/b/sbin/init', '#!/bin/sh\necho crash\nexit 1\n', 0o755)
    for (let start = 0; start < 2; start++) expect(box.start().output).toContain('crash')
    expect(systems(box.start().output)).toEqual(['a'])
  })

  test.each([
    ['is not there', (path: string) => rmSync(path)],
    ['may not be executed', (path: string) => chmodSync(path, 0o644)],
    ['is no program', (path: string) => writeFileSync(path, Buffer.alloc(4096, 1))],
    [
      'leads out of the slot',
      (path: string) => {
        rmSync(path)
        symlinkSync('../../../../../sbin/init.pine-old', path)
      },
    ],
  ])('starts a at once where the init of b %s', async (_, spoil) => {
    make()
    await box.setState((state) => arm(state, 'b'))
    spoil(box.path('.pine/slots/b/sbin/init'))
    for (const how of ['pivot', 'chroot'] as const) expect(systems(box.start(how).output), how).toEqual(['a'])
    expect(existsSync(box.path('.pine/deadline'))).toBe(false)
  })

  test('starts a where /etc of b cannot be made', async () => {
    make()
    await box.setState((state) => arm(state, 'b'))
    rmSync(box.path('.pine/slots/b/bin/cp'))
    expect(systems(box.start().output)).toEqual(['a'])
  })

  test('shows a slot what the host edited, and keeps that on the way back', async () => {
    make()
    const init = '#!/bin/sh\ncat /etc/hostname /etc/resolv.conf\n'
    for (const slot of ['a', 'b']) box.write(`.pine/slots/${slot}/sbin/init`, init, 0o755)
    box.write('.pine/slots/a/etc/hostname', 'shipped\n')
    box.write('etc/hostname', 'one\n')
    box.write('etc/resolv.conf', 'nameserver 192.0.2.1\n')
    expect(box.start().output).toContain('one\nnameserver 192.0.2.1\n')
    await box.setState((state) => arm(state, 'b'))
    box.write('etc/hostname', 'two\n')
    box.write('etc/network/interfaces', 'auto eth0\n')
    expect(box.start().output).toContain('two\nnameserver 192.0.2.1\n')
    expect(box.read('.pine/etc/b.00000002/network/interfaces')).toBe('auto eth0\n')
    // What the slot itself changed stays while the host changes nothing.
    box.write('.pine/etc/b.00000002/hostname', 'chosen\n')
    expect(box.start().output).toContain('chosen\n')
    rmSync(box.path('etc/network/interfaces'))
    await box.setState((state) => startOnce(state, 'a'))
    expect(box.start().output).toContain('two\n')
    box.start()
    expect(existsSync(box.path('.pine/etc/b.00000002/network/interfaces'))).toBe(false)
  })

  test('adds to /var what is new in a release, but nothing to the package database of the old system', async () => {
    make()
    box.start()
    box.write('var/lib/dpkg/info/base.list', 'old')
    for (const name of ['lib/dpkg/info/base.list', 'lib/dpkg/info/added.list', 'lib/added/file'])
      box.write(`.pine/slots/b/var/${name}`, 'b')
    await box.setState((state) => arm(state, 'b'))
    expect(systems(box.start().output)).toEqual(['b'])
    expect(box.read('var/lib/added/file')).toBe('b')
    expect(readdirSync(box.path('var/lib/dpkg/info'))).toEqual(['base.list'])
  })

  test('carries local changes of /etc into a new release, and gives the old one its own back', async () => {
    make()
    box.write('.pine/slots/a/etc/ours', 'shipped\n')
    box.write('.pine/slots/b/etc/ours', 'shipped\n')
    box.write('.pine/slots/b/etc/new', 'of b\n')
    box.write('.pine/slots/b/var/lib/new', 'of b\n')
    box.start()
    box.write('.pine/etc/a.00000001/ours', 'local\n')
    await box.setState((state) => arm(state, 'b'))
    box.start()
    expect([box.read('.pine/etc/b.00000002/ours'), box.read('.pine/etc/b.00000002/new')]).toEqual([
      'local\n',
      'of b\n',
    ])
    expect(box.read('var/lib/new')).toBe('of b\n')
    expect(existsSync(box.path('.pine/etc/a.00000001/new'))).toBe(false)
  })

  test('starts the old system when it is asked for, and that once', async () => {
    make()
    await box.setState((state) => startOnce(state, 'r'))
    expect([systems(box.start().output), systems(box.start().output)]).toEqual([['old'], ['a']])
  })

  test('starts with one copy of the boot state torn, and with none', async () => {
    make()
    box.start()
    await box.setState((state) => arm(state, 'b'))
    const spoil = (offset: number): void => {
      const area = readFileSync(box.path('.pine/bootstate'))
      area.fill(0, offset + 40, offset + 60)
      writeFileSync(box.path('.pine/bootstate'), area)
    }
    spoil(4096)
    expect(systems(box.start().output)).toEqual(['b'])
    spoil(8192)
    // As on disks: the old system first.
    expect(systems(box.start().output)).toEqual(['old'])
    rmSync(box.path('sbin/init.pine-old'))
    expect(systems(box.start().output)).toEqual(['a'])
    expect(box.read('.pine/cmdline')).toContain('pine.gen=00000001 pine.st=none')
  })

  test('waits, and does not end, where nothing can be started', async () => {
    make()
    for (const path of ['sbin/init.pine-old', '.pine/slots/a/sbin/init']) rmSync(box.path(path))
    const { output, signal } = box.start('pivot', 3000)
    expect([output.match(/nothing can be started/g)?.length, signal], output).toEqual([
      expect.any(Number),
      'SIGKILL',
    ])
    expect(output.match(/nothing can be started/g)?.length).toBeGreaterThan(1)
  })

  test('falls on the old system where it may not mount', () => {
    make()
    const { output } = box.start('no-mounts')
    expect(output).toContain('this container may not mount: Operation not permitted')
    expect(systems(output)).toEqual(['old'])
  })
})

describe.skipIf(PROBLEM !== undefined)('a trial without a verdict', () => {
  const HANGING = '#!/bin/sh\necho hanging\nsleep 20\necho survived\n'

  test('is ended by the deadline, until a is back', async () => {
    make()
    await box.setState((state) => arm(state, 'b', 1))
    box.write('.pine/slots/b/sbin/init', HANGING, 0o755)
    const { output } = box.start()
    expect(output).toContain('hanging')
    expect(output).toContain('no verdict within 2 s')
    expect(output).not.toContain('survived')
    expect(systems(box.start().output)).toEqual(['a'])
  })

  test('goes on when somebody removed the file, and a confirmed slot has none', async () => {
    make()
    await box.setState((state) => arm(state, 'b'))
    box.write('.pine/slots/b/sbin/init', '#!/bin/sh\nrm /.pine/deadline\nsleep 4\necho survived\n', 0o755)
    expect(box.start().output).toContain('survived')
    await box.setState((state) => confirm(state, 'b'))
    box.write('.pine/slots/b/sbin/init', '#!/bin/sh\nls /.pine\nsleep 4\necho survived\n', 0o755)
    const { output } = box.start()
    expect(output).toContain('survived')
    expect(output).not.toContain('deadline')
  })
})
