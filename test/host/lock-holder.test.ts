import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import type { Host } from '../../src/host/host.ts'
import { lockHolder } from '../../src/host/lock-holder.ts'
import { describeProcess } from '../../src/host/process.ts'
import { realHost } from '../../src/host/real-host.ts'

const undo: (() => void)[] = []
afterEach(() => {
  for (const action of undo.splice(0).reverse()) action()
})

function fileIn(parent: string): string {
  const dir = mkdtempSync(join(parent, 'pine-lock-'))
  undo.push(() => rmSync(dir, { recursive: true }))
  writeFileSync(join(dir, 'disk'), Buffer.alloc(4096))
  return join(dir, 'disk')
}

/** A process that holds the lock of a file; resolves when it does. */
async function hold(path: string, ...flags: string[]): Promise<ChildProcess> {
  const words = ['sh', '-c', 'echo locked; read _', 'pine\u001b[31m\u202e-update', '--all']
  const child = spawn('flock', ['--no-fork', ...flags, path, ...words])
  undo.push(() => child.kill('SIGKILL'))
  await once(child.stdout, 'data')
  return child
}

async function holderOf(path: string, host: Host = realHost()) {
  const region = await host.openRegion(path)
  try {
    return await lockHolder(host, region)
  } finally {
    await region.close()
  }
}

describe('the process that has a lock', () => {
  test.each([tmpdir(), '/dev/shm'])(
    'is found on the file system of %s, and is gone with its end',
    async (parent) => {
      const path = fileIn(parent)
      expect(await holderOf(path)).toBe(undefined)
      const child = await hold(path)
      expect(await holderOf(path)).toMatchObject({ pid: child.pid, shared: false })
      child.kill('SIGKILL')
      await once(child, 'exit')
      expect(await holderOf(path)).toBe(undefined)
    },
  )

  test('is found on a block device, by whatever name it was opened', async (context) => {
    const path = fileIn(tmpdir())
    const attached = spawnSync('losetup', ['--find', '--show', path], { encoding: 'utf8' })
    if (attached.status !== 0) return context.skip('no loop device (not root, or a bare container)')
    const device = attached.stdout.trim()
    undo.push(() => execFileSync('losetup', ['--detach', device]))
    const link = join(path, '../link')
    execFileSync('ln', ['-s', device, link])
    const child = await hold(device)
    expect(await holderOf(link)).toMatchObject({ pid: child.pid })
    // The file behind it is another lock.
    expect(await holderOf(path)).toBe(undefined)
  })

  test('is told from one that only looks at the disk, as udev does', async () => {
    const path = fileIn(tmpdir())
    const child = await hold(path, '--shared')
    expect(await holderOf(path)).toMatchObject({ pid: child.pid, shared: true })
  })

  test('is named by its command line, without what it could do to a terminal', async () => {
    const path = fileIn(tmpdir())
    const child = await hold(path)
    const holder = await holderOf(path)
    if (holder === undefined) throw new Error('nobody was found')
    expect(describeProcess(holder)).toBe(
      `process ${child.pid} (sh -c echo locked; read _ pine [31m -update --all)`,
    )
    expect(holder.runningMs).toBeGreaterThanOrEqual(0)
    expect(holder.runningMs).toBeLessThan(600_000)
  })
})

describe('what /proc says', () => {
  /** A region with one lock id, on a machine whose /proc holds these files. */
  function lookup(files: Record<string, string>) {
    const readFile = async (path: string) => {
      const content = files[path]
      if (content === 'EACCES') throw new Error(content)
      return content === undefined ? undefined : Buffer.from(content)
    }
    const region = { lockId: async () => 'fe:00:77' }
    return lockHolder({ readFile } as unknown as Host, region as never)
  }
  const stat = (started: number, name = 'node') => `12 (${name}) S 1 ${'0 '.repeat(17)}${started} 0 0\n`
  const LOCK = '1: FLOCK  ADVISORY  WRITE 12 fe:00:77 0 EOF\n'
  const files = {
    '/proc/locks': LOCK,
    '/proc/12/stat': stat(5000),
    '/proc/12/cmdline': '/usr/bin/node\0/usr/lib/pine-update/pine-update.cjs\0apply\0web 2.0.bundle\0',
    '/proc/uptime': '250.00 900.00\n',
  }

  test('is the command as it was typed, and how long it has run', async () => {
    expect(await lookup(files)).toEqual({
      pid: 12,
      command: 'pine-update apply web 2.0.bundle',
      runningMs: 200_000,
      shared: false,
    })
  })

  test('is also read where a name is made to look like more', async () => {
    const odd = { ...files, '/proc/12/stat': stat(0, 'a) R (1 2'), '/proc/12/cmdline': '' }
    expect(await lookup(odd)).toMatchObject({ command: 'a) R (1 2', runningMs: 250_000 })
  })

  test.each([
    ['no locks at all', { ...files, '/proc/locks': '' }],
    ['no /proc/locks', { '/proc/uptime': '1 1' }],
    ['another device', { ...files, '/proc/locks': LOCK.replace('fe:00', 'fe:01') }],
    ['another inode', { ...files, '/proc/locks': LOCK.replace(':77', ':777') }],
    ['one that waits', { ...files, '/proc/locks': LOCK.replace('1: ', '1: -> ') }],
    ['another kind of lock', { ...files, '/proc/locks': LOCK.replace('FLOCK', 'POSIX') }],
    ['a process of another container', { ...files, '/proc/locks': LOCK.replace(' 12 ', ' 0 ') }],
    ['a process that has just ended', { '/proc/locks': LOCK }],
    ['a process that must not be looked at', { ...files, '/proc/12/stat': 'EACCES' }],
  ])('is nobody with %s', async (_, content) => {
    expect(await lookup(content)).toBe(undefined)
  })
})
