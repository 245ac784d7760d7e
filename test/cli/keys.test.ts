import { execFileSync } from 'node:child_process'
import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { ErrorCode } from '../../src/core/error.ts'
import type { Host } from '../../src/host/host.ts'
import { realHost } from '../../src/host/real-host.ts'
import { makeBundle, makeHost, ON_DISK, openWorkshop, type Workshop } from '../support/cli.ts'

let shop: Workshop
/** What the clock of the host says; undefined: the truth. */
let clock: string | undefined

beforeEach(async () => {
  clock = undefined
  const host: Host = { ...realHost(), now: () => (clock === undefined ? new Date() : new Date(clock)) }
  shop = openWorkshop(host)
  await makeHost(shop)
})
afterEach(() => shop.close())

async function expectError(line: string, code: ErrorCode): Promise<void> {
  const ran = await shop.pine(`${line} --json`)
  expect([ran.json().error?.code, ran.stderr]).toEqual([code, expect.stringContaining(code)])
}

function openssl(line: string): void {
  const words = line.split(' ').map((word) => (word.startsWith('@') ? shop.path(word.slice(1)) : word))
  execFileSync('openssl', words, { stdio: 'pipe' })
}

/** The plain key of the host, ci, hands over to root keys r1 and r2, and to the release key s1. */
async function firstList(): Promise<void> {
  for (const name of ['r1', 'r2', 's1', 's2']) await shop.ok(`key generate --out @${name}`)
  const roots = '--root @r1.pub --root @r2.pub --root-threshold 2'
  await shop.ok(`keys create ${roots} --release @s1.pub --out @fleet.keys`)
  await shop.ok('keys sign @fleet.keys --key @keys/ci.key --key @r1.key --key @r2.key')
}

async function secondList(more = ''): Promise<void> {
  const roots = '--root @r1.pub --root @r2.pub'
  await shop.ok(`keys create --after @fleet.keys ${roots} --release @s2.pub --out @fleet.keys${more}`)
  await shop.ok('keys sign @fleet.keys --key @r1.key --key @r2.key')
}

describe('key rotation', () => {
  test('with a file: the old key no longer signs, and a wiped /etc does not bring it back', async () => {
    await firstList()
    expect((await shop.ok(`keys trust @fleet.keys --json ${ON_DISK}`)).json()).toMatchObject({
      version: 1,
      changed: true,
    })
    await makeBundle(shop, '2.0')
    await expectError(`apply @2.0.bundle ${ON_DISK}`, 'BUNDLE_UNTRUSTED')
    rmSync(shop.path('keys'), { recursive: true })
    await makeBundle(shop, '2.0', { more: '--key @s1.key' })
    await shop.ok(`apply @2.0.bundle ${ON_DISK}`)
    const status = (await shop.ok(`status --json ${ON_DISK}`)).json()
    expect(status).toMatchObject({ keyList: 1, versionFloor: '1.0', epochFloor: 0 })
    expect((await shop.ok(`keys trust @fleet.keys --json ${ON_DISK}`)).json()).toMatchObject({
      changed: false,
    })
  })

  test('with a bundle that carries the chain, for a host two rotations behind', async () => {
    await firstList()
    await secondList()
    await makeBundle(shop, '2.0', { more: '--key @s2.key --keys @fleet.keys' })
    await shop.ok(`bundle verify @2.0.bundle --keyring @keys`)
    await shop.ok(`apply @2.0.bundle ${ON_DISK}`)
    await shop.boot()
    await shop.ok(`confirm ${ON_DISK}`)
    await makeBundle(shop, '3.0', { more: '--key @s1.key' })
    await expectError(`apply @3.0.bundle ${ON_DISK}`, 'BUNDLE_UNTRUSTED')
    await makeBundle(shop, '3.0', { more: '--key @s2.key' })
    await shop.ok(`apply @3.0.bundle ${ON_DISK}`)
  })

  test('by a stranger changes nothing, whether in a file or in a bundle', async () => {
    await shop.ok('key generate --out @eve')
    await shop.ok('keys create --root @eve.pub --release @eve.pub --out @eve.keys')
    await shop.ok('keys sign @eve.keys --key @eve.key')
    const before = readFileSync(shop.path('host.img'))
    await expectError(`keys trust @eve.keys ${ON_DISK}`, 'KEY_LIST_UNTRUSTED')
    await makeBundle(shop, '2.0', { more: '--key @eve.key --keys @eve.keys' })
    await expectError(`apply @2.0.bundle ${ON_DISK}`, 'KEY_LIST_UNTRUSTED')
    expect(readFileSync(shop.path('host.img')).equals(before)).toBe(true)
  })

  test('that expired stops updates until the next list comes', async () => {
    await firstList()
    process.env.SOURCE_DATE_EPOCH = '1600000000'
    await secondList(' --expires 2021-01-01T00:00:00Z')
    delete process.env.SOURCE_DATE_EPOCH
    await shop.ok(`keys trust @fleet.keys ${ON_DISK}`)
    await makeBundle(shop, '2.0', { more: '--key @s2.key' })
    await expectError(`apply @2.0.bundle ${ON_DISK}`, 'KEY_LIST_EXPIRED')
    await secondList()
    await makeBundle(shop, '2.0', { more: '--key @s2.key --keys @fleet.keys' })
    await shop.ok(`apply @2.0.bundle ${ON_DISK}`)
  })

  test('is shown before anybody trusts it', async () => {
    await firstList()
    const { lists } = (await shop.ok('keys show @fleet.keys --json')).json()
    expect(lists[0]).toMatchObject({ version: 1, root: { threshold: 2 }, signedBy: expect.any(Array) })
    expect(lists[0].signedBy.length).toBe(3)
    const plan = await shop.ok(`keys trust @fleet.keys --dry-run ${ON_DISK}`)
    expect(plan.stdout).toContain('trust the keys of list 1 from now on')
    expect((await shop.ok(`keys trust @fleet.keys --json ${ON_DISK}`)).json().changed).toBe(true)
  })
})

describe('keys that this program never sees', () => {
  beforeEach(async () => {
    openssl('genpkey -algorithm ed25519 -out @token.pem')
    openssl('pkey -in @token.pem -pubout -out @token-public.pem')
    await shop.ok('key public @token-public.pem --out @keys/token.pub --comment token')
  })

  test('sign a bundle with openssl', async () => {
    await makeBundle(shop, '2.0', { more: '--unsigned' })
    await expectError(`apply @2.0.bundle ${ON_DISK}`, 'BUNDLE_UNSIGNED')
    await shop.ok('bundle digest @2.0.bundle --out @to-sign')
    openssl('pkeyutl -sign -rawin -inkey @token.pem -in @to-sign -out @sig')
    const line = 'bundle attach @2.0.bundle --signature @sig --key @keys/token.pub'
    expect((await shop.ok(`${line} --json`)).json().signatures).toBe(1)
    const once = readFileSync(shop.path('2.0.bundle'))
    await shop.ok(line)
    expect(readFileSync(shop.path('2.0.bundle')).equals(once)).toBe(true)
    await shop.ok('bundle verify @2.0.bundle --keyring @keys')
    await shop.ok(`apply @2.0.bundle ${ON_DISK}`)
  })

  test('and their wrong signatures are found out before they are in a bundle', async () => {
    await makeBundle(shop, '2.0', { more: '--unsigned' })
    await shop.ok('bundle digest @2.0.bundle --out @to-sign')
    openssl('pkeyutl -sign -rawin -inkey @token.pem -in @to-sign -out @sig')
    await makeBundle(shop, '3.0', { more: '--unsigned' })
    const before = readFileSync(shop.path('3.0.bundle'))
    await expectError('bundle attach @3.0.bundle --signature @sig --key @keys/token.pub', 'SIGNATURE_INVALID')
    await expectError('bundle attach @2.0.bundle --signature @sig --key @keys/ci.pub', 'SIGNATURE_INVALID')
    writeFileSync(shop.path('base64'), readFileSync(shop.path('sig')).toString('base64'))
    await expectError('bundle attach @2.0.bundle --signature @base64 --key @keys/ci.pub', 'SIGNATURE_INVALID')
    expect(readFileSync(shop.path('3.0.bundle')).equals(before)).toBe(true)
  })

  test('sign a key list', async () => {
    await shop.ok('keys create --root @keys/token.pub --release @keys/ci.pub --out @fleet.keys')
    await shop.ok('keys digest @fleet.keys --out @to-sign')
    openssl('pkeyutl -sign -rawin -inkey @token.pem -in @to-sign -out @sig')
    await shop.ok('keys attach @fleet.keys --signature @sig --key @keys/token.pub')
    await shop.ok(`keys trust @fleet.keys ${ON_DISK}`)
  })

  test('two of two: one alone is not enough', async () => {
    const config = readFileSync(shop.path('host.toml'), 'utf8')
    writeFileSync(shop.path('host.toml'), `threshold = 2\n${config}`)
    await makeBundle(shop, '2.0', { more: '--key @keys/ci.key' })
    await expectError(`apply @2.0.bundle ${ON_DISK}`, 'BUNDLE_UNTRUSTED')
    await shop.ok('bundle digest @2.0.bundle --out @to-sign')
    openssl('pkeyutl -sign -rawin -inkey @token.pem -in @to-sign -out @sig')
    await shop.ok('bundle attach @2.0.bundle --signature @sig --key @keys/token.pub')
    await shop.ok(`apply @2.0.bundle ${ON_DISK}`)
  })
})

describe('a clock that is wrong', () => {
  test('in 1970: what was signed since says that an old bundle is over', async () => {
    process.env.SOURCE_DATE_EPOCH = '1500000000'
    await makeBundle(shop, '2.0', { more: '--expires 2020-01-01T00:00:00Z' })
    delete process.env.SOURCE_DATE_EPOCH
    copyFileSync(shop.path('2.0.bundle'), shop.path('old.bundle'))
    clock = '1970-01-01T00:00:00Z'
    // Nothing was seen yet, so nothing speaks against it.
    await shop.ok(`apply @old.bundle --dry-run ${ON_DISK}`)
    clock = undefined
    await makeBundle(shop, '3.0')
    clock = '1970-01-01T00:00:00Z'
    await shop.ok(`apply @3.0.bundle ${ON_DISK}`)
    await shop.ok(`reject ${ON_DISK}`)
    await expectError(`apply @old.bundle ${ON_DISK}`, 'BUNDLE_EXPIRED')
    await shop.ok(`apply @old.bundle --allow-expired ${ON_DISK}`)
  })

  test('in 2100: only what expires is refused, and nothing is kept of it', async () => {
    await makeBundle(shop, '2.0', { more: '--expires 2090-01-01T00:00:00Z' })
    await makeBundle(shop, '3.0')
    clock = '2100-01-01T00:00:00Z'
    await expectError(`apply @2.0.bundle ${ON_DISK}`, 'BUNDLE_EXPIRED')
    await shop.ok(`apply @3.0.bundle ${ON_DISK}`)
    await shop.boot()
    await shop.ok(`confirm ${ON_DISK}`)
    clock = undefined
    await shop.ok(`apply @2.0.bundle --allow-downgrade ${ON_DISK}`)
  })
})

test('everything that is wrong is named at once', async () => {
  await makeBundle(shop, '2.0', { more: '--release 0.5 --compatible other' })
  const ran = await shop.pine(`apply @2.0.bundle --json ${ON_DISK}`)
  expect(ran.json().error).toMatchObject({
    code: 'COMPATIBLE_MISMATCH',
    also: [{ code: 'DOWNGRADE_REFUSED' }],
  })
  expect(ran.stderr).toContain('COMPATIBLE_MISMATCH')
  expect(ran.stderr).toContain('DOWNGRADE_REFUSED')
  const good = await makeBundle(shop, '3.0')
  const { checks } = (await shop.ok(`apply @${good} --dry-run --json ${ON_DISK}`)).json()
  expect(checks.map(({ name }: { name: string }) => name)).toEqual(
    expect.arrayContaining(['clock', 'keys', 'slot size', 'memory', 'codecs', 'loader']),
  )
})

test('a release below the one confirmed last is refused after a rollback too', async () => {
  await makeBundle(shop, '3.0')
  await shop.ok(`apply @3.0.bundle ${ON_DISK}`)
  await shop.boot()
  await shop.ok(`confirm ${ON_DISK}`)
  await shop.ok(`rollback ${ON_DISK}`)
  await shop.boot()
  await shop.ok(`confirm ${ON_DISK}`)
  rmSync(shop.path('keys/ci.key'), { force: true })
  await shop.ok('key generate --out @keys/other')
  await makeBundle(shop, '2.0', { more: '--key @keys/other.key' })
  await expectError(`apply @2.0.bundle ${ON_DISK}`, 'DOWNGRADE_REFUSED')
  await shop.ok(`apply @2.0.bundle --allow-downgrade ${ON_DISK}`)
})
