import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AGENT, OSTREE_AGENT } from '../../src/build/prepare.ts'
import { LOADERS, ostree } from '../ostree/support.ts'
import { makeArchive, run, runPackage, unpack } from '../support/archive.ts'
import { makeBundle, makeHost, openWorkshop, slotContent } from '../support/cli.ts'

let dir: string
let archive: string
/** The unpacked archive, in a place that needs quotes. */
let folder: string

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'pine package '))
  archive = makeArchive(join(dir, 'first'))
  folder = unpack(archive, join(dir, 'unpacked'))
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

/** As `env -i` leaves it. */
const pine = (...words: string[]) => run(join(folder, 'pine-update'), words, { env: {} })
const sha256 = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex')
const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8'))

describe('the archive', () => {
  test('is the same, byte for byte, when made again by somebody with another umask', () => {
    const again = makeArchive(join(dir, 'again'), '077')
    expect(sha256(again)).toBe(sha256(archive))
  })

  test('has its digest beside it, as sha256sum reads it', () => {
    const cwd = dirname(archive)
    expect(run('sha256sum', ['--check', `${archive}.sha256`], { cwd }).stdout).toMatch(
      /^pine-update-\S+: OK\n$/,
    )
  })

  test('belongs to root, and only root can write to it', () => {
    const rows = execFileSync('tar', ['tvzf', archive, '--numeric-owner'], { encoding: 'utf8' })
      .trim()
      .split('\n')
    expect(rows.length).toBeGreaterThan(20)
    expect(rows.filter((row) => !/^.rw[x-]r-[x-]r-[x-] 0\/0 /.test(row))).toEqual([])
  })

  test('has what an image gets, a Node, and the licences of all of it', () => {
    const inside = [...AGENT, ...OSTREE_AGENT, 'loader', 'node']
    expect(readdirSync(join(folder, 'lib')).sort()).toEqual(inside.sort())
    expect(readdirSync(join(folder, 'lib/native')).sort()).toEqual([
      `container-init-${process.arch}`,
      `linux-${process.arch}.node`,
    ])
    expect(readdirSync(join(folder, 'lib/loader')).sort()).toEqual(['boot.img', 'core.img', 'grubx64.efi'])
    expect(readFileSync(join(folder, 'LICENSE.node'), 'utf8')).toContain('Node.js')
    expect(readFileSync(join(folder, 'LICENSE.grub'), 'utf8')).toContain('GPL-3')
    const others = readFileSync(join(folder, 'LICENSE.third-party'), 'utf8')
    for (const name of ['commander', 'execa', 'koffi 3', 'libzstd-dev', 'liblzma-dev'])
      expect(others).toContain(`==== ${name}`)
    expect(others).not.toContain('==== typescript')
  })
})

describe('an unpacked archive', () => {
  test('calls libostree where that is installed', (context) => {
    if (LOADERS.every(({ reason }) => reason !== undefined)) return context.skip('no libostree here')
    const [tree, repo] = [join(dir, 'committed'), `--repo=${join(dir, 'repo')}`]
    mkdirSync(join(tree, 'etc'), { recursive: true })
    ostree('init', repo, '--mode=archive')
    ostree('commit', repo, '--branch=one', '--subject=x', `--tree=dir=${tree}`)
    const from = ['--ostree', join(dir, 'repo'), '--ref', 'one']
    expect(pine('image', 'build', ...from, '--out', join(dir, 'one.img'))).toMatchObject({ status: 0 })
  })

  test('updates a disk with nothing in the environment, not even a PATH', async () => {
    const shop = openWorkshop()
    try {
      await makeHost(shop)
      await makeBundle(shop, '2.0', { from: '1.0' })
      symlinkSync(shop.path('host.img'), join(dir, 'my disk'))
      const on = ['--json', '--disk', join(dir, 'my disk'), '--config', shop.path('host.toml')]
      const status = () => JSON.parse(pine('status', ...on).stdout)
      expect(status()).toMatchObject({ nextBoot: 'a', trial: null })
      const applied = pine('apply', shop.path('2.0.bundle'), ...on)
      expect([applied.status, applied.stderr]).toEqual([0, expect.stringContaining('boot slot b next')])
      expect(status()).toMatchObject({ nextBoot: 'b', trial: { slot: 'b', version: '2.0' } })
      const image = readFileSync(shop.path('2.0.img'))
      expect(slotContent(shop, 'b').subarray(0, image.length).equals(image)).toBe(true)
    } finally {
      shop.close()
    }
  })

  test('starts through links, from a PATH with another Node in it, in any folder', () => {
    const bin = join(dir, 'bin')
    mkdirSync(bin)
    writeFileSync(join(bin, 'node'), '#!/bin/sh\necho another Node\n', { mode: 0o755 })
    symlinkSync('../linked', join(bin, 'pine'))
    symlinkSync(join(folder, 'pine-update'), join(dir, 'linked'))
    const env = { PATH: `${bin}:/usr/bin:/bin` }
    expect(run('sh', ['-c', 'pine --version'], { cwd: '/', env }).stdout).toBe(`${version}\n`)
    expect(run('sh', ['./pine-update', '--version'], { cwd: folder, env }).stdout).toBe(`${version}\n`)
  })

  test('makes an image, and a disk with a layout from where the help says they are', () => {
    mkdirSync(join(dir, 'tree/etc'), { recursive: true })
    const [image, disk] = [join(dir, '1.0.img'), join(dir, 'disk.img')]
    expect(pine('image', 'build', '--tree', join(dir, 'tree'), '--out', image)).toMatchObject({ status: 0 })
    const layout = ['--layout', join(folder, 'layouts/gpt-bios-tiny.sfdisk'), '--size', '512M']
    const release = ['--image', image, '--compatible', 'test', '--release', '1.0']
    const built = pine('disk', 'build', ...layout, ...release, '--out', disk)
    expect([built.status, built.stderr]).toEqual([0, expect.any(String)])
    expect(pine('status', '--disk', disk).stdout).toContain('1.0')
  })

  test('without its Node does not take another one, and says what to do', () => {
    const node = join(folder, 'lib/node')
    renameSync(node, `${node}.away`)
    try {
      const { status, stderr } = pine('--version')
      expect([status, stderr]).toEqual([1, expect.stringContaining(`${node} is missing\n  unpack the whole`)])
    } finally {
      renameSync(`${node}.away`, node)
    }
  })

  test('on a file system without programs says so', (context) => {
    if (process.getuid?.() !== 0) context.skip('mounting needs root')
    const script =
      'mount --bind "$1" "$1" && mount -o remount,bind,noexec "$1" && exec sh "$1/pine-update" --version'
    const { status, stderr } = run('unshare', ['--mount', 'sh', '-c', script, 'sh', folder])
    expect([status, stderr]).toEqual([1, expect.stringContaining('lib/node may not be executed\n  unpack')])
  })
})

describe('a runtime is refused', () => {
  /** A program that prints a line. */
  const compile = (name: string, line: string, ...options: string[]): string => {
    const source = join(dir, `${name}.c`)
    writeFileSync(source, `#include <stdio.h>\nint main(void) { puts("${line}"); }\n`)
    execFileSync('cc', ['-o', join(dir, name), source, ...options])
    return join(dir, name)
  }

  test.each<[string, () => string, RegExp]>([
    [
      'that needs other libraries, or a newer glibc than Debian 11 has',
      () => compile('linked', 'v20.19.0', '-Wl,--no-as-needed', '-lz'),
      /linked asks for more than Debian 11 has: libz\.so\.1, GLIBC_2\.3[2-9]/,
    ],
    [
      'that is too old',
      () => compile('old', 'v18.20.0', '-static'),
      /old is Node 18\.20\.0, expected 20\.19\.0 or newer/,
    ],
    ['that is no Node', () => compile('other', 'hello', '-static'), /other is no Node/],
    ['that is no program', () => join(import.meta.dirname, 'package.test.ts'), /file format not recognized/],
  ])('%s', (_, runtime, message) => {
    const out = join(dir, 'refused')
    const { status, stderr } = runPackage(out, ['--runtime', runtime()])
    expect([status, stderr]).toEqual([1, expect.stringMatching(message)])
    expect(stderr).toContain('npm run package -- --runtime FILE')
    expect(() => readdirSync(out)).toThrow('ENOENT')
  })
})
