import { cpSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { HEADER_BYTES } from '../../src/bundle/header.ts'
import { decodeManifest } from '../../src/bundle/manifest.ts'
import { digestOf } from '../../src/core/digest.ts'
import type { ErrorCode } from '../../src/core/error.ts'
import { makeBundle, makeHost, ON_DISK, openWorkshop, slotContent, type Workshop } from '../support/cli.ts'

let shop: Workshop

beforeEach(async () => {
  shop = openWorkshop()
  await makeHost(shop)
})
afterEach(() => shop.close())

const diskDigest = (): string => digestOf(readFileSync(shop.path('host.img')))

async function expectRefused(bundle: string, code: ErrorCode, exit = 3): Promise<void> {
  const before = diskDigest()
  const ran = await shop.pine(`apply @${bundle} --json ${ON_DISK}`)
  expect([ran.json().error.code, ran.exit]).toEqual([code, exit])
  expect(ran.stderr).toContain(code)
  expect(diskDigest()).toBe(before)
}

/** Where the parts of a bundle file are. */
function partsOf(bundle: Buffer): { manifest: number; signatures: number; segments: number[] } {
  const manifestBytes = bundle.readUInt32LE(12)
  const manifest = decodeManifest(bundle.subarray(HEADER_BYTES, HEADER_BYTES + manifestBytes))
  const signatures = HEADER_BYTES + manifestBytes
  let at = signatures + 72
  const segments = manifest.variants
    .flatMap((variant) => variant.segments)
    .map(({ bytes }) => {
      at += bytes
      return at - bytes
    })
  return { manifest: HEADER_BYTES, signatures, segments }
}

function rewrite(name: string, change: (bytes: Buffer) => Buffer): void {
  const changed = change(readFileSync(shop.path(name)))
  writeFileSync(shop.path(name), changed)
}

function flip(name: string, offset: number): void {
  rewrite(name, (bytes) => {
    bytes[offset] = (bytes[offset] ?? 0) ^ 0x10
    return bytes
  })
}

describe('refused before a byte of the disk changes, and what lifts it', () => {
  test('of an older epoch than one that was confirmed here', async () => {
    await makeBundle(shop, '2.0', { more: '--epoch 5' })
    await shop.ok(`apply @2.0.bundle ${ON_DISK}`)
    await shop.boot()
    await shop.ok(`confirm ${ON_DISK}`)
    await makeBundle(shop, '3.0', { more: '--epoch 4' })
    await expectRefused('3.0.bundle', 'DOWNGRADE_REFUSED')
    await shop.ok(`apply @3.0.bundle --allow-downgrade --dry-run ${ON_DISK}`)
  })

  test('more than the memory of this machine allows', async () => {
    await makeBundle(shop, '2.0')
    const { readFile } = shop.host
    const meminfo = Buffer.from('MemTotal:  65536 kB\nMemAvailable:    2048 kB\nSwapFree:     0 kB\n')
    shop.host.readFile = async (path) => (path === '/proc/meminfo' ? meminfo : readFile(path))
    await expectRefused('2.0.bundle', 'MEMORY_TOO_SMALL')
  })
})

describe('found while it is written: not armed, the booted system untouched, and the next try works', () => {
  let whole: Buffer

  beforeEach(async () => {
    await makeBundle(shop, '2.0')
    cpSync(shop.path('2.0.bundle'), shop.path('whole.bundle'))
    whole = readFileSync(shop.path('2.0.bundle'))
  })

  async function expectStopped(code: ErrorCode): Promise<void> {
    const booted = digestOf(slotContent(shop, 'a'))
    const ran = await shop.pine(`apply @2.0.bundle --json ${ON_DISK}`)
    expect(ran.json().error.code).toBe(code)
    const after = (await shop.ok(`status --json ${ON_DISK}`)).json()
    expect(after).toMatchObject({ nextBoot: 'a', trial: null })
    expect(after.slots[1]).toMatchObject({ condition: 'unknown', triesLeft: 0 })
    expect(digestOf(slotContent(shop, 'a'))).toBe(booted)

    renameSync(shop.path('whole.bundle'), shop.path('2.0.bundle'))
    await shop.ok(`apply @2.0.bundle ${ON_DISK}`)
    expect(await shop.boot()).toBe('b')
  }

  test('one flipped bit in the first segment', async () => {
    flip('2.0.bundle', (partsOf(whole).segments[0] ?? 0) + 100)
    await expectStopped('BUNDLE_CORRUPT')
  })

  test('one flipped bit in the last byte', async () => {
    flip('2.0.bundle', whole.length - 1)
    await expectStopped('BUNDLE_CORRUPT')
  })

  test('cut short in the middle of the segments', async () => {
    rewrite('2.0.bundle', (bytes) => bytes.subarray(0, bytes.length - 1000))
    await expectStopped('BUNDLE_TRUNCATED')
  })

  test('bytes after the end', async () => {
    rewrite('2.0.bundle', (bytes) => Buffer.concat([bytes, Buffer.from('x')]))
    await expectStopped('BUNDLE_MALFORMED')
  })
})

describe('used wrongly', () => {
  test.each([
    ['apply @none.bundle', 'FILE_NOT_FOUND', 2],
    ['apply @1.0.img --tries 9', 'USAGE', 2],
    ['bundle create --to @2.0.img --out @x --key @1.0.img --compatible x --release 1', 'KEY_INVALID', 2],
    [
      'bundle create --to @2.0.img --out @x --key @keys/ci.key --compatible x --release 1 --expires 2020-01-01',
      'USAGE',
      2,
    ],
    ['bundle create --to @2.0.img --out @x --key @keys/ci.key --compatible x/y --release 1', 'USAGE', 2],
    ['bundle create --to @2.0.img --out @x --key @keys/ci.key --compatible x --release new', 'USAGE', 2],
    ['image build --tree @tree-1.0 --tar @x.tar --out @x', 'USAGE', 2],
    [
      'disk build --layout @layout.sfdisk --size 4M --image @1.0.img --compatible t --release 1 --out @y',
      'LAYOUT_INVALID',
      2,
    ],
    [
      'disk build --layout @layout.sfdisk --size 32M --image @1.0.img --compatible t --release 1 --out @host.img',
      'FILE_EXISTS',
      2,
    ],
    [
      'disk build --layout @layout.sfdisk --size 32M --image @1.0.img --compatible t --release 1 --out @y --append $(x)',
      'USAGE',
      2,
    ],
    ['key generate --out @keys/ci', 'FILE_EXISTS', 2],
    [
      'install --disk @host.img --layout @layout.sfdisk --image @1.0.img --compatible t --release 1',
      'USAGE',
      2,
    ],
  ])('%s', async (line, code, exit) => {
    const machine = line.startsWith('apply') ? ` ${ON_DISK}` : ''
    const ran = await shop.pine(`${line} --json${machine}`)
    expect([ran.exit, ran.json().error.code]).toEqual([exit, code])
  })

  test.each(['--compression zstd', '--fs erofs'])(
    'an image made with %s, which the loader cannot read',
    async (how) => {
      await shop.ok(`image build --tree @tree-2.0 ${how} --out @odd.img`)
      const ran = await shop.pine(
        'disk build --layout @layout.sfdisk --size 32M --image @odd.img --compatible t --release 1 --out @odd.disk --json',
      )
      expect([ran.exit, ran.json().error.code]).toEqual([3, 'IMAGE_UNBOOTABLE'])
    },
  )

  test('a disk that is not ours', async () => {
    writeFileSync(shop.path('blank.img'), Buffer.alloc(1024 * 1024))
    const ran = await shop.pine('status --disk @blank.img --json')
    expect([ran.exit, ran.json().error.code]).toEqual([3, 'NOT_A_PINE_DISK'])
  })

  test('an unknown option or command prints how to use it, without a stack trace', async () => {
    for (const line of ['apply --nonsense', 'nonsense', 'apply']) {
      const ran = await shop.pine(line)
      expect(ran.exit).toBe(2)
      expect(ran.stderr).not.toMatch(/\n\s+at /)
    }
  })
})
