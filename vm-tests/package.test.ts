import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { digestOf } from '../src/core/digest.ts'
import { makeArchive, run, unpack } from '../test/support/archive.ts'
import { makeBundle, makeHost, openWorkshop, slotContent, type Workshop } from '../test/support/cli.ts'
import { bootstrap, kept } from './lib/release-trees.ts'

const IN_TREE = join(import.meta.dirname, '../src/system/in-tree')
const SUITES = ['bullseye', 'bookworm', 'trixie'] as const
const PINE = '/mnt/package/pine-update'
const ON_DISK = ['--json', '--disk', '/mnt/host.img', '--config', '/mnt/tree.toml']

let trees: string
/** Is /mnt in each tree. */
let shop: Workshop

beforeAll(async () => {
  trees = plainTrees()
  shop = openWorkshop()
  renameSync(unpack(makeArchive(shop.path('made')), shop.path('unpacked')), shop.path('package'))
  await makeHost(shop)
  await makeBundle(shop, '2.0', { from: '1.0' })
  writeFileSync(shop.path('tree.toml'), 'keyring = "/mnt/keys"\n')
})
afterAll(() => shop?.close())

/** The smallest Debian that has apt, with fdisk as every installed one; and a system without any library. */
function plainTrees(): string {
  return kept('plain', SUITES.join('-'), (into) => {
    for (const suite of SUITES) bootstrap(suite, join(into, suite), ['--variant=minbase', '--include=fdisk'])
    bootstrap('trixie', join(into, 'static'), ['--variant=extract', '--include=busybox-static'])
    mkdirSync(join(into, 'static/mnt'), { recursive: true })
  })
}

/** Runs a script whose `$1` is the tree, in a mount namespace of its own. */
function withMounts(name: string, script: string, ...words: readonly string[]) {
  const bind = `mount --bind '${shop.dir}' "$1/mnt"`
  return run('unshare', ['--mount', 'sh', '-c', `${bind} && ${script}`, 'sh', join(trees, name), ...words])
}

const inTree = (suite: string, ...words: string[]) => withMounts(suite, `exec sh ${IN_TREE} "$@"`, ...words)

test.each(SUITES)('Debian without Node (%s) looks at a disk and updates it', async (suite) => {
  await makeHost(shop)
  expect(inTree(suite, 'sh', '-c', 'command -v node nodejs').stdout).toBe('')
  expect(inTree(suite, PINE, '--version')).toMatchObject({ status: 0, stderr: '' })
  const status = () => JSON.parse(inTree(suite, PINE, 'status', ...ON_DISK).stdout)
  expect(status()).toMatchObject({ nextBoot: 'a', trial: null })

  const disk = () => digestOf(readFileSync(shop.path('host.img')))
  const before = disk()
  const planned = inTree(suite, PINE, 'apply', '/mnt/2.0.bundle', '--dry-run', ...ON_DISK)
  expect([planned.status, planned.stderr, disk()]).toEqual([0, '', before])
  expect(JSON.parse(planned.stdout)).toMatchObject({ dryRun: true })

  const applied = inTree(suite, PINE, 'apply', '/mnt/2.0.bundle', ...ON_DISK)
  expect([applied.status, applied.stderr]).toEqual([0, expect.stringContaining('boot slot b next')])
  expect(status()).toMatchObject({ nextBoot: 'b', trial: { slot: 'b', version: '2.0' } })
  const image = readFileSync(shop.path('2.0.img'))
  expect(slotContent(shop, 'b').subarray(0, image.length).equals(image)).toBe(true)
})

test('a system without glibc is told so', () => {
  const { status, stderr } = withMounts('static', `exec chroot "$1" /usr/bin/busybox sh ${PINE} --version`)
  expect([status, stderr]).toEqual([1, expect.stringContaining('this system has no glibc for amd64\n  take')])
})
