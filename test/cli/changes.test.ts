import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { HEADER_BYTES } from '../../src/bundle/header.ts'
import { decodeManifest } from '../../src/bundle/manifest.ts'
import { digestOf } from '../../src/core/digest.ts'
import { hasTool, prose } from '../expand/real-images.ts'
import { ofImage } from '../support/bundles.ts'
import { openWorkshop, type Workshop } from '../support/cli.ts'

let shop: Workshop

beforeAll(async () => {
  shop = openWorkshop()
  await shop.ok('key generate --out @ci')
  for (const [release, version] of [
    ['1.0', '3.5.1-1'],
    ['1.1', '3.5.1-2'],
    ['2.0', '3.5.4-1~rc1'],
  ] as const)
    writeRelease(release, version)
  for (const release of ['1.0', '1.1', '2.0']) await build(release, 'squashfs')
})
afterAll(() => shop.close())

/** Names as an attacker, or a careless package, may choose them; in 2.0 only. */
const HOSTILE = ['<script>alert(1)<', 'new\nline', '\u001b[31mred', 'say "x" & \'y\'', 'evil\u202etxt']

function writeRelease(release: string, version: string): void {
  const write = (path: string | Buffer, content: string | Buffer): void => {
    const place = Buffer.concat([Buffer.from(`${shop.path(release)}/`), Buffer.from(path)])
    mkdirSync(dirname(place.toString('latin1')), { recursive: true })
    writeFileSync(place, content)
  }
  write('etc/release', release)
  write('usr/lib/same', prose(40_000, 1))
  write('usr/bin/tool', prose(30_000, Number.parseFloat(release) * 10))
  write(
    'var/lib/dpkg/status',
    `Package: openssl\nStatus: install ok installed\nArchitecture: amd64\nVersion: ${version}\n`,
  )
  symlinkSync(release, join(shop.path(release), 'usr/lib/current'))
  if (release !== '2.0') {
    write('etc/old.conf', 'old')
    return
  }
  for (const name of HOSTILE) write(`etc/${name}`, 'x')
  write(Buffer.concat([Buffer.from('etc/latin-'), Buffer.of(0xe4)]), 'x')
}

async function build(release: string, fs: string): Promise<void> {
  await shop.ok(`image build --tree @${release} --fs ${fs} --out @${release}.${fs}`)
}

async function bundle(out: string, more: string, fs = 'squashfs'): Promise<string> {
  const fixed = `--to @2.0.${fs} --release 2.0 --compatible test --effort 1 --out @${out}`
  const key = more.includes('--unsigned') ? '' : ' --key @ci.key'
  return (await shop.ok(`bundle create ${fixed}${key} ${more}`)).stdout
}

const baseOf = (release: string): string => digestOf(readFileSync(shop.path(`${release}.squashfs`)))

const TEXT = `
dpkg packages: 1 changed
  openssl  3.5.1-1 -> 3.5.4-1~rc1

added: 6
         1 B  "/etc/\\x1b[31mred"
         1 B  /etc/<script>alert(1)<
         1 B  "/etc/evil\\xe2\\x80\\xaetxt"
         1 B  "/etc/latin-\\xe4"
         1 B  "/etc/new\\x0aline"
         1 B  "/etc/say \\"x\\" & 'y'"

removed: 1
         3 B  /etc/old.conf

changed: 4
         3 B    same size  /etc/release
    29.3 KiB    same size  /usr/bin/tool
                           /usr/lib/current  (symlink to 1.0 -> symlink to 2.0)
        87 B         +4 B  /var/lib/dpkg/status
`

describe.each(['squashfs', 'erofs', 'ext4'] as const)('a release as %s', (fs) => {
  const tool = { squashfs: 'mksquashfs', erofs: 'mkfs.erofs', ext4: 'mke2fs' }[fs]
  test.skipIf(!hasTool(tool))('says what changed since the one before', async () => {
    if (fs !== 'squashfs') for (const release of ['1.0', '2.0']) await build(release, fs)
    const made = await bundle(`${fs}.bundle`, `--from @1.0.${fs}`, fs)
    expect(made).toContain('changes: packages 1 changed; files 6 added, 1 removed, 4 changed')
    const { stdout } = await shop.ok(`bundle inspect @${fs}.bundle --changes`)
    expect(stdout).toContain('packages: 1 changed; files: 6 added, 1 removed, 4 changed, +7 B in all\n')
    expect(stdout.slice(stdout.indexOf('\n\n') + 1)).toBe(TEXT)
    expect(stdout).not.toMatch(/(?!\n)\p{Cc}/u)
    expect((await shop.ok(`bundle verify @${fs}.bundle --keyring @ci.pub`)).stdout).toContain('verified')
  })
})

describe('the list as JSON', () => {
  test('has every name whole, and the bytes of those that are no text', async () => {
    const { changes, verified, signedBy } = (
      await shop.ok('bundle inspect @squashfs.bundle --changes --json')
    ).json()
    expect([verified, signedBy.length, changes.base]).toEqual([false, 1, baseOf('1.0')])
    expect(changes.counts).toEqual({
      packages: { added: 0, removed: 0, changed: 1 },
      files: { added: 6, removed: 1, changed: 4 },
    })
    expect(changes.packages).toEqual([
      { database: 'dpkg', name: 'openssl', change: 'changed', old: '3.5.1-1', new: '3.5.4-1~rc1' },
    ])
    const paths = changes.files.map(({ path }: { path: string }) => path)
    for (const name of HOSTILE) expect(paths).toContain(`etc/${name}`)
    const latin = changes.files.find((file: any) => file.pathBase64 !== undefined)
    expect(Buffer.from(latin.pathBase64, 'base64').toString('latin1')).toBe('etc/latin-\u00e4')
    const old = changes.files.find((file: any) => file.path === 'etc/old.conf')
    expect(old).toMatchObject({
      change: 'removed',
      content: false,
      new: null,
      old: { type: 'file', bytes: 3, mode: '0644' },
    })
    const current = changes.files.find((file: any) => file.path === 'usr/lib/current')
    expect([current.old.target, current.new.target]).toEqual(['1.0', '2.0'])
  })
})

const VOID = ['meta']

/** Tags that are open at the end, or closed out of order: none in a page that is well formed. */
function badTags(page: string): string[] {
  const open: string[] = []
  const wrong: string[] = []
  for (const [, close, name = ''] of page.matchAll(/<(\/?)([a-z][a-z0-9]*)(?: [a-z-]+(?:="[^"<>]*")?)*>/g)) {
    if (VOID.includes(name)) continue
    if (close === '') open.push(name)
    else if (open.pop() !== name) wrong.push(name)
  }
  return [...open, ...wrong]
}

describe('the list as a page', () => {
  test('is one well-formed file with every name escaped, and nothing that runs or loads', async () => {
    const said = await shop.ok('bundle inspect @squashfs.bundle --changes --html --out @page.html')
    expect(said.stdout).toContain('page.html: ')
    const page = readFileSync(shop.path('page.html'), 'utf8')
    expect((await shop.ok('bundle inspect @squashfs.bundle --changes --html')).stdout).toBe(page)
    expect(badTags(page)).toEqual([])
    expect(badTags('<p><b></p>')).not.toEqual([])
    // Every < and > belongs to a tag that the page itself has.
    const rest = page.replace(/<!DOCTYPE html>|<\/?[a-z][a-z0-9]*(?: [a-z-]+(?:="[^"<>]*")?)*>/g, '')
    expect(rest).not.toMatch(/[<>]/)
    expect(page).not.toMatch(/<script|https?:|src=|href=|url\(|@import|(?!\n)[\p{Cc}\p{Cf}]/iu)
    expect(page).toContain('<code>/etc/&lt;script&gt;alert(1)&lt;</code>')
    expect(page).toContain('<code>&quot;/etc/say \\&quot;x\\&quot; &amp; &#39;y&#39;&quot;</code>')
    expect(page).toContain('<code>&quot;/etc/latin-\\xe4&quot;</code>')
  })

  test('says which release it is, who signed it, and that nobody checked', () => {
    const page = readFileSync(shop.path('page.html'), 'utf8')
    expect(page).toContain('<title>Changes in 2.0 for test</title>')
    expect(page).toMatch(/<dt>signed by<\/dt><dd>[0-9a-f]{16} \(not checked\)<\/dd>/)
    expect(page).toContain(`since ${baseOf('1.0').slice(0, 12)}`)
    expect(page).toContain('prefers-color-scheme: dark')
  })
})

describe('a bundle from several bases', () => {
  beforeAll(() => bundle('both.bundle', '--from @1.0.squashfs --from @1.1.squashfs --full'))

  test('has a list for each, by the start of its digest', async () => {
    const { stderr } = await shop.pine('bundle inspect @both.bundle --changes')
    for (const release of ['1.0', '1.1']) expect(stderr).toContain(baseOf(release).slice(0, 12))
    for (const [release, version] of [
      ['1.0', '3.5.1-1'],
      ['1.1', '3.5.1-2'],
    ] as const) {
      const base = baseOf(release).slice(0, 8).toUpperCase()
      const { stdout } = await shop.ok(`bundle inspect @both.bundle --changes --base ${base}`)
      expect(stdout).toContain(`openssl  ${version} -> 3.5.4-1~rc1`)
    }
  })

  test('keeps them when a signature is attached', async () => {
    await bundle('later.bundle', '--from @1.0.squashfs --from @1.1.squashfs --unsigned')
    await shop.ok('bundle digest @later.bundle --out @message')
    const { createPrivateKey, sign } = await import('node:crypto')
    const key = createPrivateKey(readFileSync(shop.path('ci.key')))
    writeFileSync(shop.path('signature'), sign(null, readFileSync(shop.path('message')), key))
    await shop.ok('bundle attach @later.bundle --signature @signature --key @ci.pub')
    await shop.ok('bundle verify @later.bundle --keyring @ci.pub')
    const base = baseOf('1.1').slice(0, 8)
    expect((await shop.ok(`bundle inspect @later.bundle --changes --base ${base}`)).stdout).toContain(
      '3.5.1-2 ->',
    )
  })
})

test('the same request gives the same bytes', async () => {
  const at = process.env.SOURCE_DATE_EPOCH
  process.env.SOURCE_DATE_EPOCH = '1700000000'
  try {
    for (const out of ['one.bundle', 'two.bundle']) await bundle(out, '--from @1.0.squashfs')
  } finally {
    if (at === undefined) delete process.env.SOURCE_DATE_EPOCH
    else process.env.SOURCE_DATE_EPOCH = at
  }
  expect(readFileSync(shop.path('one.bundle')).equals(readFileSync(shop.path('two.bundle')))).toBe(true)
})

describe('without a list', () => {
  const refused = async (line: string): Promise<string> => {
    const ran = await shop.pine(line)
    expect(ran.exit).toBe(2)
    expect(ran.stdout).not.toContain('etc/release')
    return ran.stderr
  }

  test.each([
    ['--no-changes', '--from @1.0.squashfs --no-changes'],
    ['a full bundle', '--full'],
    ['a base of no file system', '--from @noise'],
  ])('%s', async (_, more) => {
    writeFileSync(shop.path('noise'), prose(9000, 5))
    expect(await bundle('plain.bundle', more)).not.toContain('changes:')
    const bytes = readFileSync(shop.path('plain.bundle'))
    const manifest = ofImage(
      decodeManifest(bytes.subarray(HEADER_BYTES, HEADER_BYTES + bytes.readUInt32LE(12))),
    )
    expect(manifest.variants.map(({ changes }) => changes)).toEqual([undefined])
    expect(await refused('bundle inspect @plain.bundle --changes')).toContain('lists no changes')
  })

  test.each([
    ['--base abc', 'go with --changes'],
    ['--html', 'go with --changes'],
    ['--changes --out @page', 'goes with --html'],
    ['--changes --html --json', 'either --html or --json'],
    ['--changes --base ffff0000', 'no list of changes is since base ffff0000'],
  ])('%s', async (options, why) => {
    expect(await refused(`bundle inspect @squashfs.bundle ${options}`)).toContain(why)
  })

  test('one that is damaged shows nothing', async () => {
    const bytes = readFileSync(shop.path('squashfs.bundle'))
    bytes[bytes.length - 1] = (bytes[bytes.length - 1] ?? 0) ^ 1
    writeFileSync(shop.path('damaged.bundle'), bytes)
    const ran = await shop.pine('bundle inspect @damaged.bundle --changes')
    expect([ran.exit, ran.stdout]).toEqual([1, ''])
    expect(ran.stderr).toContain('BUNDLE_CORRUPT')
  })
})
