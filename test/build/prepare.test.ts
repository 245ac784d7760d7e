import { execFileSync } from 'node:child_process'
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { cleanTree, withoutOwnMounts } from '../../src/build/clean-tree.ts'
import { AGENT, installAgent, prepareTree } from '../../src/build/prepare.ts'
import { newestKernel } from '../../src/build/tree-needs.ts'
import { openWorkshop, type Workshop } from '../support/cli.ts'

let shop: Workshop
beforeEach(() => {
  shop = openWorkshop()
})
afterEach(() => shop.close())

const OPTIONS = { kind: 'disk', systemDir: 'src/system', cliBundleDir: 'dist' } as const

function put(path: string, content = 'x'): void {
  mkdirSync(dirname(shop.path(path)), { recursive: true })
  writeFileSync(shop.path(path), content)
}

describe('what a tree needs', () => {
  test('everything that is missing is named at once, with its remedy', async (context) => {
    if (process.getuid?.() !== 0) return context.skip('preparing a tree needs root')
    for (const name of ['boot', 'etc', 'usr', 'var'])
      mkdirSync(shop.path(`tree/${name}`), { recursive: true })
    put('tree/usr/bin/busybox')
    await expect(prepareTree(shop.host, shop.path('tree'), OPTIONS)).rejects.toMatchObject({
      code: 'TREE_INVALID',
      message: expect.stringMatching(/no \/usr\/sbin\/update-initramfs; .*no \/usr\/bin\/node; no kernel/),
      hint: expect.stringMatching(/install initramfs-tools; .*install nodejs 20\.19/),
    })
  })

  test('a node that does not run in it', async (context) => {
    if (process.getuid?.() !== 0) return context.skip('preparing a tree needs root')
    for (const name of ['boot', 'etc', 'var']) mkdirSync(shop.path(`tree/${name}`), { recursive: true })
    put('tree/usr/bin/node')
    chmodSync(shop.path('tree/usr/bin/node'), 0o755)
    await expect(prepareTree(shop.host, shop.path('tree'), OPTIONS)).rejects.toMatchObject({
      message: expect.stringContaining('/usr/bin/node is not able to run here'),
    })
  })

  test('a folder that is no root file system', async (context) => {
    if (process.getuid?.() !== 0) return context.skip('preparing a tree needs root')
    await expect(prepareTree(shop.host, shop.path('nowhere'), OPTIONS)).rejects.toMatchObject({
      code: 'TREE_INVALID',
      message: expect.stringContaining('/etc is not a folder in it'),
    })
  })

  test('the newest kernel counts numbers as numbers', () => {
    expect(newestKernel(['vmlinuz-6.9.1', 'vmlinuz-6.12.3+deb13', 'config-7.0', 'vmlinuz'])).toBe(
      '6.12.3+deb13',
    )
    expect(newestKernel([])).toBeUndefined()
  })
})

describe('a tree for containers', () => {
  /** With a Node that runs in it. */
  function putNode(): void {
    for (const name of ['etc', 'usr/bin', 'var']) mkdirSync(shop.path(`tree/${name}`), { recursive: true })
    cpSync(process.execPath, shop.path('tree/usr/bin/node'))
    for (const path of execFileSync('ldd', [process.execPath], { encoding: 'utf8' }).match(/\/\S+/g) ?? []) {
      mkdirSync(dirname(shop.path(`tree/${path}`)), { recursive: true })
      cpSync(path, shop.path(`tree/${path}`), { dereference: true })
    }
  }

  test('gets the agent and its units, and needs no kernel', async (context) => {
    if (process.getuid?.() !== 0) return context.skip('preparing a tree needs root')
    putNode()
    put('tree/etc/machine-id', '0123')
    const lacking = await shop.pine('image prepare @tree --container --json')
    expect([lacking.exit, lacking.json().error.code]).toEqual([2, 'TREE_INVALID'])
    expect(lacking.json().error.message).toMatch(/: no \/usr\/lib\/systemd\/systemd; no libostree-1.so.1$/)
    put('tree/usr/lib/systemd/systemd')
    put('tree/usr/lib/x86_64-linux-gnu/libostree-1.so.1')
    const { steps } = (await shop.ok('image prepare @tree --container --dry-run --json')).json()
    await shop.ok('image prepare @tree --container')
    const written = steps.flatMap((step: string) => /^write (.*)/.exec(step)?.[1] ?? [])
    for (const path of written) expect(existsSync(shop.path(`tree${path}`)), path).toBe(true)
    expect(existsSync(shop.path('tree/usr/share/initramfs-tools'))).toBe(false)
    expect(readFileSync(shop.path('tree/etc/machine-id'), 'utf8')).toBe('')
    const wants = 'tree/usr/lib/systemd/system/multi-user.target.wants/pine-update-health.service'
    expect(readlinkSync(shop.path(wants))).toBe('../pine-update-health.service')
    const cli = '/usr/lib/pine-update/pine-update.cjs'
    const ran = execFileSync('chroot', [shop.path('tree'), '/usr/bin/node', cli, '--version'])
    expect(ran.toString()).toMatch(/^\d+\.\d+\.\d+/)
  })
})

describe('the agent in a tree', () => {
  const LIB = 'tree/usr/lib/pine-update'
  const install = () => installAgent(shop.host, shop.path('tree'), 'dist')

  test('brings what calls libostree where that is', async () => {
    put('tree/usr/lib/x86_64-linux-gnu/libostree-1.so.1')
    await install()
    // Of another folder than that of this repository, where npm has it too.
    const asked = `import('koffi').then(({ default: { version } }) => console.log(version))`
    const version = execFileSync(process.execPath, ['-e', asked], { cwd: shop.path(LIB), encoding: 'utf8' })
    expect(version.trim()).toMatch(/^3\./)
    expect(await shop.host.listFolder(shop.path(LIB))).toContain('ostree-child.cjs')
  })

  test('and does not where nothing could use it', async () => {
    put('tree/usr/lib/x86_64-linux-gnu/libc.so.6')
    await install()
    expect(await shop.host.listFolder(shop.path(LIB))).toEqual([...AGENT].sort())
  })
})

describe('what is taken out of a tree', () => {
  test('identity and leftovers of the build, and nothing else', async () => {
    put('tree/etc/machine-id', '0123')
    put('tree/etc/ssh/ssh_host_rsa_key')
    put('tree/etc/ssh/ssh_host_rsa_key.pub')
    put('tree/etc/ssh/sshd_config', 'Port 22')
    put('tree/var/lib/apt/lists/index')
    put('tree/var/log/apt/history.log')
    put('tree/var/lib/app/data', 'data')
    put('tree/var/lib/systemd/random-seed')
    await cleanTree(shop.host, shop.path('tree'))
    expect(readFileSync(shop.path('tree/etc/machine-id'), 'utf8')).toBe('')
    expect(await shop.host.listFolder(shop.path('tree/etc/ssh'))).toEqual(['sshd_config'])
    for (const empty of ['var/lib/apt/lists', 'var/log/apt', 'var/lib/systemd']) {
      expect(await shop.host.listFolder(join(shop.path('tree'), empty)), empty).toEqual([])
    }
    expect(readFileSync(shop.path('tree/var/lib/app/data'), 'utf8')).toBe('data')
  })

  test('only the mounts that come from the initramfs leave fstab', () => {
    const fstab =
      '# /dev/x / ext4\nUUID=1 / ext4 defaults 0 1\nUUID=2 /srv ext4 defaults 0 2\n/dev/y /var ext4\n'
    expect(withoutOwnMounts(fstab)).toBe('# /dev/x / ext4\nUUID=2 /srv ext4 defaults 0 2\n')
  })
})
