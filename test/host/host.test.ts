import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { openWorkshop, type Workshop } from '../support/cli.ts'

let shop: Workshop

beforeEach(() => {
  shop = openWorkshop()
})
afterEach(() => {
  vi.unstubAllEnvs()
  shop.close()
})

describe('a region', () => {
  beforeEach(() => writeFileSync(shop.path('disk'), Buffer.alloc(8192, 'x')))

  test('is a window: positions are its own, and nothing outside it can be touched', async () => {
    const region = await shop.host.openRegion(shop.path('disk'), { offset: 4096, bytes: 512, writable: true })
    await region.write(Buffer.from('hello'), 0)
    await region.flush()
    await expect(region.write(Buffer.alloc(10), 510)).rejects.toThrow(RangeError)
    await expect(region.read(Buffer.alloc(1), -1)).rejects.toThrow(RangeError)
    await region.close()
    expect(readFileSync(shop.path('disk')).subarray(4095, 4102).toString()).toBe('xhellox')
    expect(statSync(shop.path('disk')).size).toBe(8192)
  })

  test('beyond the end is refused', async () => {
    const opening = shop.host.openRegion(shop.path('disk'), { offset: 8000, bytes: 512 })
    await expect(opening).rejects.toMatchObject({ code: 'DISK_TOO_SMALL' })
  })

  test('of a device that is not there does not make a file in its place', async () => {
    const opening = shop.host.openRegion(shop.path('sdx'), { writable: true })
    await expect(opening).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' })
    expect(existsSync(shop.path('sdx'))).toBe(false)
  })

  test('is locked for others until it is closed', async () => {
    const [first, second] = await Promise.all([1, 2].map(() => shop.host.openRegion(shop.path('disk'))))
    expect([first?.tryLock(), second?.tryLock()]).toEqual([true, false])
    await first?.close()
    expect(second?.tryLock()).toBe(true)
    await second?.close()
  })
})

describe('files', () => {
  test('are replaced whole, with their mode, and leave nothing beside them', async () => {
    await shop.host.replaceFile(shop.path('key'), 'one', 0o600)
    await shop.host.replaceFile(shop.path('key'), 'two', 0o600)
    expect(readFileSync(shop.path('key'), 'utf8')).toBe('two')
    expect(statSync(shop.path('key')).mode & 0o777).toBe(0o600)
    expect(readdirSync(shop.dir)).toEqual(['key'])
  })

  test('that cannot be replaced stay as they are', async () => {
    await expect(shop.host.replaceFile(shop.path('no/such/folder'), 'x')).rejects.toMatchObject({
      code: 'IO_FAILED',
    })
    expect(readdirSync(shop.dir)).toEqual([])
  })

  test('are read in pieces, in order', async () => {
    const content = Buffer.alloc(700_000, 'abcdefg')
    writeFileSync(shop.path('bundle'), content)
    const pieces: Buffer[] = []
    for await (const piece of shop.host.readSource(shop.path('bundle'))) pieces.push(Buffer.from(piece))
    expect(pieces.length).toBeGreaterThan(1)
    expect(Buffer.concat(pieces).equals(content)).toBe(true)
  })
})

describe('programs', () => {
  test('get their arguments as they are: there is no shell', async () => {
    expect(await shop.host.exec('printf', ['%s|', '$HOME', '; echo x', '*'])).toBe('$HOME|; echo x|*|')
  })

  test('run in a fixed locale', async () => {
    expect(await shop.host.exec('sh', ['-c', 'echo $LC_ALL'])).toBe('C.UTF-8\n')
  })

  test.each([['/usr/bin:/bin'], [undefined]])(
    'of root are found with the PATH %s of a user',
    async (path) => {
      vi.stubEnv('PATH', path)
      expect(await shop.host.exec('sfdisk', ['--version'])).toContain('sfdisk from util-linux')
    },
  )

  test.each([
    [
      'that fail say why',
      ['sh', '-c', 'echo disk on fire >&2; exit 7'],
      'TOOL_FAILED',
      /exit code 7.*disk on fire/,
    ],
    [
      'that are missing name their package',
      ['mkfs.erofs-missing'],
      'TOOL_MISSING',
      /mkfs.erofs-missing is not installed/,
    ],
    ['that do not end are ended', ['sleep', '60'], 'TOOL_TIMEOUT', /did not end within 0.2 s/],
  ])('%s', async (_, [command = '', ...args], code, message) => {
    const running = shop.host.exec(command, args, { timeoutMs: 200 })
    await expect(running).rejects.toMatchObject({ code, message: expect.stringMatching(message) })
  })
})
