import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest'
import { pine, run } from './lib/commands.ts'
import { buildCommits, FIRST_RELEASE, VERSIONS } from './lib/commits.ts'
import { type Container, createContainer, lxcMissing } from './lib/lxc.ts'
import { releaseTrees } from './lib/release-trees.ts'
import { openServer, type Server } from './lib/server.ts'

const HOUR_MS = 3_600_000
const noContainers = lxcMissing()
if (noContainers !== undefined) console.log(`skipped: containers: ${noContainers}`)

let dir: string
let commits: ReturnType<typeof buildCommits>
let server: Server | undefined
let container: Container | undefined
let failed = false

const at = (name: string): string => join(dir, name)

beforeAll(() => {
  const cache = join(process.cwd(), '.cache/vm')
  mkdirSync(cache, { recursive: true })
  dir = mkdtempSync(join(cache, 'tree-'))
  commits = buildCommits(dir)
})
afterAll(async () => {
  container?.kill()
  await server?.stop()
  if (failed) console.log(`logs and disk are kept in ${dir}`)
  else rmSync(dir, { recursive: true, force: true })
})

function buildDisk(): string {
  const release = [...FIRST_RELEASE, '--append', 'console=ttyS0']
  const content = ['--layout', 'layouts/gpt-bios.sfdisk', '--ostree', at('repo'), '--ref', 'r1']
  pine('disk', 'build', ...content, ...release, '--size', '4G', '--out', at('disk.img'))
  return at('disk.img')
}

const running = (slot: 'a' | 'b') => ({ slot, booted: true, condition: 'confirmed' })
const slots = (...wanted: object[]) => wanted.map((slot) => expect.objectContaining(slot))

test('a server whose slots are trees takes a tree bundle, and goes back from one that is not healthy', {
  timeout: HOUR_MS,
}, async () => {
  onTestFailed(() => {
    failed = true
  })
  server = openServer(buildDisk(), dir)

  const first = server.boot('first', { bundle: at('r2.bundle') })
  await first.up()
  expect(await first.status()).toMatchObject({ slots: slots({ slot: 'a', booted: true }, { slot: 'b' }) })
  expect((await first.type('touch /usr/here')).text).toContain('Read-only file system')
  expect(await first.ok('mount | grep " / "')).toContain('type ext4')
  await first.ok('mkdir /var/lib/shop; echo 42 > /var/lib/shop/orders')
  expect(await first.apply('')).toMatchObject({ exit: 0 })
  expect(await first.status()).toMatchObject({ trial: { slot: 'b', version: VERSIONS.r2 } })
  await first.reboot()

  // Slot b runs the commit; what is the operator's is still theirs.
  const second = server.boot('updated', { bundle: at('unhealthy.bundle') })
  await second.up()
  const image = expect.objectContaining({ digest: commits.r2, fs: 'tree' })
  expect(await second.status()).toMatchObject({ slots: slots({}, { ...running('b'), image }) })
  expect(await second.ok('cat /usr/share/pine-test/r2 /var/lib/shop/orders')).toBe('r2\n42')
  expect(await second.ok('systemctl --failed --no-legend')).toBe('')

  // A release that boots and serves nothing gives itself up, and the slot before it starts.
  expect(await second.apply('')).toMatchObject({ exit: 0 })
  await second.reboot()
  await server.boot('unhealthy').restarts()
  const third = server.boot('after-unhealthy')
  await third.up()
  expect(await third.status()).toMatchObject({
    slots: slots({ slot: 'a', condition: 'rejected' }, { slot: 'b', booted: true }),
    rejected: [{ version: VERSIONS.unhealthy, digest: commits.unhealthy }],
  })
  await third.powerOff()
})

test.skipIf(noContainers !== undefined).each(['mounted', 'exchanged'] as const)(
  'a container gets two slots, takes a tree bundle, goes back from one that is not healthy, and back to what it was (%s)',
  { timeout: HOUR_MS },
  async (how) => {
    const isExchanged = how === 'exchanged'
    onTestFailed(() => {
      failed = true
    })
    const root = at(how)
    run('cp', '-a', releaseTrees().r1, root)
    run('mkdir', at(`lxc-${how}`))
    container = createContainer(root, { dir: at(`lxc-${how}`), shown: dir })
    const { ok, run: tried, restart } = container
    container.start()
    await container.up()
    const identity = ok('cat /etc/machine-id')

    // Its host has the repository and the bundles; /mnt is where it shows them.
    const release = [...FIRST_RELEASE, ...(isExchanged ? ['--exchange'] : [])].join(' ')
    ok(`pine-update container init --ostree /mnt/repo --ref r1 ${release}`)
    await restart()
    const status = () => JSON.parse(ok('pine-update status --json'))
    expect(status()).toMatchObject({ live: true, loaderSeesState: true, slots: slots(running('a'), {}) })
    expect(tried('touch /usr/here && rm /usr/here').status === 0).toBe(isExchanged)
    expect(ok('cat /etc/machine-id')).toBe(identity)
    expect(ok('systemctl --failed --no-legend')).toBe('')
    ok('mkdir /var/lib/shop; echo 42 > /var/lib/shop/orders')

    ok('pine-update apply /mnt/r2.bundle')
    expect(status()).toMatchObject({ trial: { slot: 'b', version: VERSIONS.r2 } })
    await restart()
    const verified = JSON.parse(ok('pine-update status --verify --json'))
    const inUse = { ...running('b'), verified: isExchanged ? null : true }
    expect(verified).toMatchObject({ slots: slots({ verified: true }, inUse) })
    expect(verified.slots[1].image).toMatchObject({ digest: commits.r2, fs: 'tree' })
    expect(ok('cat /usr/share/pine-test/r2 /var/lib/shop/orders')).toBe('r2\n42')

    // It gives itself up after its first start, and the slot before it starts.
    ok('pine-update apply /mnt/unhealthy.bundle')
    await restart()
    await container.until('back in slot b', () =>
      tried('pine-update status --json').stdout.includes('"rejected"'),
    )
    await container.up()
    expect(status()).toMatchObject({
      slots: slots({ condition: 'rejected' }, running('b')),
      rejected: [{ version: VERSIONS.unhealthy, digest: commits.unhealthy }],
    })

    container.kill()
    expect(tried('true').status).not.toBe(0)
    container.start()
    await container.up()
    expect(status()).toMatchObject({ slots: slots({}, running('b')) })

    ok('pine-update container undo')
    await restart()
    expect(ok('cat /usr/share/pine-test/r1')).toBe('r1')
    ok('pine-update container undo')
    expect(existsSync(join(root, '.pine'))).toBe(false)
    container.kill()
  },
)
