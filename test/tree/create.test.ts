import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { startProgram } from '../faults/process.ts'
import { ostree } from '../ostree/support.ts'
import { openWorkshop, type Workshop } from '../support/cli.ts'
import { commitOf, makeFolderHost, makeTreeBundle, ready } from './support.ts'

let shop: Workshop

beforeAll(async () => {
  if (!ready) return
  shop = openWorkshop()
  await makeFolderHost(shop)
})
afterEach(() => vi.unstubAllEnvs())
afterAll(() => shop?.close())

describe.skipIf(!ready)('bundle create --tree', () => {
  test('has a variant for each base and a full one, says which commit it makes, and can be verified', async () => {
    await makeTreeBundle(shop, '3.0', { from: '1.0', more: '--from web/2.0 --full' })
    const json = (await shop.ok('bundle inspect @3.0.bundle --json')).json()
    expect(json.tree.commit).toBe(commitOf(shop, '3.0'))
    const bases = json.variants.map(({ base }: { base?: { commit: string } }) => base?.commit)
    expect(bases).toEqual([commitOf(shop, '1.0'), commitOf(shop, '2.0'), undefined])
    expect(json.source.ostree).toMatchObject({ ref: 'web/3.0', subject: 'release 3.0' })
    const [delta, , full] = json.variants
    expect(delta.bytes).toBeLessThan(full.bytes / 4)
    expect(delta.newBytes).toBeLessThan(full.newBytes / 4)
    expect(full.newBytes).toBe(json.tree.bytes)
    expect((await shop.ok('bundle verify @3.0.bundle --keyring @keys')).stdout).toContain('every segment')
    expect((await shop.ok('bundle inspect @3.0.bundle')).stdout).toContain(commitOf(shop, '3.0').slice(0, 12))
  })

  test('gives the same bytes again, at another time', async () => {
    vi.stubEnv('SOURCE_DATE_EPOCH', '1760000000')
    await makeTreeBundle(shop, '2.0', { from: '1.0', more: '--full', out: 'first' })
    await new Promise((resolve) => setTimeout(resolve, 1100))
    await makeTreeBundle(shop, '2.0', { from: '1.0', more: '--full', out: 'second' })
    expect(readFileSync(shop.path('first.bundle')).equals(readFileSync(shop.path('second.bundle')))).toBe(
      true,
    )
  })

  test('makes deltas that the ostree command takes', async () => {
    await makeTreeBundle(shop, '2.0', { from: '1.0' })
    const bytes = readFileSync(shop.path('2.0.bundle'))
    const json = (await shop.ok('bundle inspect @2.0.bundle --json')).json()
    const repo = `--repo=${shop.path('other')}`
    ostree('init', repo, '--mode=bare')
    ostree('pull-local', repo, shop.path('repo'), commitOf(shop, '1.0'))
    const file = shop.path('delta')
    await shop.host.replaceFile(file, bytes.subarray(bytes.length - json.payloadBytes))
    ostree('static-delta', 'apply-offline', repo, file)
    expect(ostree('show', repo, commitOf(shop, '2.0'))).toContain('release 2.0')
  })

  test('can be signed elsewhere', async () => {
    const names = '--to web/2.0 --release 2.0 --compatible test --out @unsigned.bundle --unsigned'
    await shop.ok(`bundle create --tree --ostree @repo ${names}`)
    await shop.ok('bundle digest @unsigned.bundle --out @message')
    expect(readFileSync(shop.path('message'))).toHaveLength(62)
  })

  const more = '--to web/2.0 --release 2.0 --compatible test --key @keys/ci.key --out @no.bundle'
  test.each([
    ['without --ostree', `--tree ${more}`, 'USAGE'],
    ['with a kind of image', `--tree --ostree @repo --fs ext4 ${more}`, 'USAGE'],
    ['from the same commit', `--tree --ostree @repo --from web/2.0 ${more}`, 'USAGE'],
    ['from a ref that there is not', `--tree --ostree @repo --from web/0 ${more}`, 'OSTREE_NOT_FOUND'],
    ['of no repository', `--tree --ostree @keys ${more}`, 'OSTREE_NOT_FOUND'],
  ])('%s is refused, and leaves no file', async (_, line, code) => {
    const ran = await shop.pine(`bundle create ${line} --json`)
    expect([ran.exit, ran.json().error.code]).toEqual([2, code])
    expect(await shop.host.kindOf(shop.path('no.bundle'))).toBeUndefined()
  })

  test('lists what changed, as a bundle of the images of these commits does', async () => {
    const tree = more.replace('no.bundle', '2.0.bundle')
    await shop.ok(`bundle create --tree --ostree @repo --from web/1.0 --full ${tree}`)
    const of = async (bundle: string) => (await shop.ok(`bundle inspect @${bundle} --changes --json`)).json()
    const { files, packages } = (await of('2.0.bundle')).changes
    expect(files.map(({ path }: { path: string }) => path)).toContain('etc/release')
    await shop.ok(`bundle create --ostree @repo --from web/1.0 ${more.replace('no.bundle', 'image.bundle')}`)
    expect((await of('image.bundle')).changes).toMatchObject({ files, packages })
  })

  test('or does not, where nobody wants it', async () => {
    await shop.ok(`bundle create --tree --no-changes --ostree @repo --from web/1.0 ${more}`)
    const ran = await shop.pine('bundle inspect @no.bundle --changes')
    expect([ran.exit, ran.stderr]).toEqual([2, expect.stringContaining('lists no changes')])
  })
})

describe.skipIf(!ready)('folder build', () => {
  const names = '--compatible test --release 1.0'
  test('refuses a folder that is there, and a commit that is not; leaves nothing', async () => {
    const taken = await shop.pine(`folder build @host --ostree @repo --ref web/1.0 ${names} --json`)
    expect([taken.exit, taken.json().error.code]).toEqual([2, 'FILE_EXISTS'])
    const unknown = await shop.pine(`folder build @new --ostree @repo --ref web/0 ${names} --json`)
    expect([unknown.exit, unknown.json().error.code]).toEqual([2, 'OSTREE_NOT_FOUND'])
    const dry = await shop.ok(`folder build @new --ostree @repo --ref web/1.0 ${names} --dry-run`)
    expect(dry.stdout).toContain('would make')
    const left = (await shop.host.listFolder(shop.dir)).filter((name) => name.startsWith('new'))
    expect(left).toEqual([])
  })

  test('removes what a build that was killed has left, and nothing of one that is at work', async () => {
    const killed = startProgram(shop, `folder build @again --ostree @repo --ref web/1.0 ${names}`)
    await killed.saying('make the tree of slot a')
    killed.child.kill('SIGKILL')
    await killed.ended
    const made = async () => (await shop.host.listFolder(shop.dir)).filter((name) => name.startsWith('again'))
    expect(await made()).toEqual([`again.partial-${killed.child.pid}`])
    // Of a process that lives, of our own PID in an earlier life, and something that nobody of us made.
    const [theirs, kept] = [`again.partial-${process.ppid}`, 'again.partial-notes']
    for (const name of [theirs, kept, `again.partial-${process.pid}`]) mkdirSync(shop.path(name))
    await shop.ok(`folder build @again --ostree @repo --ref web/1.0 ${names}`)
    expect(await made()).toEqual(['again', theirs, kept].sort())
  })

  test('refuses a commit with a /.pine of its own', async () => {
    await shop.host.exec('mkdir', ['-p', shop.path('odd/.pine/repo')])
    ostree('commit', `--repo=${shop.path('repo')}`, '--branch=odd', `--tree=dir=${shop.path('odd')}`)
    const bundle = '--to odd --release 9 --compatible test --key @keys/ci.key --out @odd.bundle'
    for (const command of [`folder build @new --ref odd ${names}`, `bundle create --tree ${bundle}`]) {
      const ran = await shop.pine(`${command} --ostree @repo --json`)
      expect([ran.exit, ran.json().error.code]).toEqual([2, 'TREE_INVALID'])
      expect(ran.json().error.message).toContain('has a /.pine')
    }
  })

  test('reckons with the folders of a tree, equal ones too', async () => {
    const folders = Array.from({ length: 1000 }, (_, index) => shop.path(`many/${index % 10}/${index}/equal`))
    for (const folder of folders) mkdirSync(folder, { recursive: true })
    ostree('commit', `--repo=${shop.path('repo')}`, '--branch=many', `--tree=dir=${shop.path('many')}`)
    await shop.ok(`folder build @many-host --ostree @repo --ref many ${names}`)
    const { bytes } = (await shop.ok('status --disk @many-host --json')).json().slots[0].image
    // Of blocks; the repository itself is not of the tree.
    const slot = Number(
      execFileSync('du', ['-sB1', '--exclude=.pine', shop.path('many-host/slots/a')], {
        encoding: 'utf8',
      }).split('\t')[0],
    )
    expect(slot).toBeGreaterThan(2000 * 4096)
    expect(bytes).toBeGreaterThanOrEqual(slot)
  })

  test('a folder of something else is no machine', async () => {
    const ran = await shop.pine('status --disk @keys --json')
    expect([ran.exit, ran.json().error.code]).toEqual([3, 'NOT_A_PINE_DISK'])
  })
})
