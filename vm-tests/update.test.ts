import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest'
import { RELEASES, type Release, releaseTrees } from './lib/release-trees.ts'
import { openServer, type Server } from './lib/server.ts'

const REPO = join(import.meta.dirname, '..')
const HOUR_MS = 3_600_000
/** How long a boot may take before the watchdog resets it; an emulated processor is slow. */
const DEADLINE_S = 180

let dir: string
let server: Server
let failed = false

beforeAll(() => {
  const cache = join(REPO, '.cache/vm')
  mkdirSync(cache, { recursive: true })
  dir = mkdtempSync(join(cache, 'story-'))
})
afterAll(async () => {
  await server?.stop()
  if (failed) console.log(`serial logs and disk are kept in ${dir}`)
  else rmSync(dir, { recursive: true, force: true })
})

function pine(line: string): void {
  const words = line.split(' ').map((word) => (word.startsWith('@') ? join(dir, word.slice(1)) : word))
  execFileSync(process.execPath, [join(REPO, 'dist/pine-update.cjs'), ...words], { cwd: REPO, stdio: 'pipe' })
}

const VERSIONS: Record<Release, string> = {
  r1: '1.0.0',
  r2: '2.0.0',
  panic: '3.0.0',
  hang: '4.0.0',
  unhealthy: '5.0.0',
}

/** What a CI does: a key, an image of each tree, a delta bundle from the release before. */
function buildReleases(): void {
  const trees = releaseTrees()
  pine('key generate --out @ci')
  for (const name of RELEASES) {
    mkdirSync(join(trees[name], 'etc/pine-update/keys'), { recursive: true })
    copyFileSync(join(dir, 'ci.pub'), join(trees[name], 'etc/pine-update/keys/ci.pub'))
    pine(`image build --tree ${trees[name]} --out @${name}.img`)
  }
  for (const name of RELEASES.slice(1)) {
    const from = name === 'r2' ? 'r1' : 'r2'
    const release = `--compatible vm-test --release ${VERSIONS[name]}`
    pine(`bundle create --from @${from}.img --to @${name}.img --key @ci.key ${release} --out @${name}.bundle`)
  }
}

function buildDisk(): string {
  const disk = join(dir, 'disk.img')
  const release = `--compatible vm-test --release ${VERSIONS.r1}`
  const append = ['--append', `console=ttyS0 pine.deadline=${DEADLINE_S}`]
  const args = `disk build --layout layouts/gpt-bios-uefi.sfdisk --image ${dir}/r1.img --size 4G ${release} --out ${disk}`
  const words = [join(REPO, 'dist/pine-update.cjs'), ...args.split(' '), ...append]
  execFileSync(process.execPath, words, { cwd: REPO, stdio: 'pipe' })
  return disk
}

/** The disk is started by either firmware, whichever started it the time before. */
const PANICS = [
  ['panic-1', 'bios'],
  ['panic-2', 'uefi'],
] as const
const HANGS = [
  ['hang-soft', {}, 'softdog'],
  ['hang-hard', { device: 'i6300esb' }, 'i6300esb'],
] as const

const bundle = (name: Release): string => join(dir, `${name}.bundle`)
const booted = (slot: 'a' | 'b') => expect.arrayContaining([expect.objectContaining({ slot, booted: true })])
const condition = (slot: 'a' | 'b', is: string) =>
  expect.arrayContaining([expect.objectContaining({ slot, condition: is })])

test('a server is updated, and comes back from a panic, a hang and an unhealthy release', {
  timeout: HOUR_MS,
}, async () => {
  onTestFailed(() => {
    failed = true
  })
  buildReleases()
  server = openServer(buildDisk(), dir)

  // A fresh disk boots slot a; the operator makes it theirs.
  const first = server.boot('first', { firmware: 'uefi', bundle: bundle('r2') })
  await first.up()
  await first.ok('test -d /sys/firmware/efi')
  expect(await first.status()).toMatchObject({ live: true, slots: booted('a'), loaderSeesState: true })
  expect((await first.type('touch /usr/here')).text).toContain('Read-only file system')
  expect(await first.ok('systemctl --failed --no-legend')).toBe('')
  await first.ok('echo "do not reboot" > /etc/motd; mkdir /var/lib/shop; echo 42 > /var/lib/shop/orders')
  const identity = await first.ok('cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub')
  expect(identity).toMatch(/^[0-9a-f]{32}\nssh-ed25519 /)

  // A real delta bundle, read from the second disk and applied while the server runs.
  expect(await first.apply('')).toMatchObject({ exit: 0 })
  expect(await first.status()).toMatchObject({ trial: { slot: 'b', version: '2.0.0' } })
  await first.reboot()

  // Slot b: new packages and files are there, and so is everything that belongs to the operator.
  const second = server.boot('updated', { bundle: bundle('panic') })
  await second.up()
  expect(await second.status()).toMatchObject({ slots: booted('b'), trial: null })
  expect(await second.status()).toMatchObject({ slots: condition('b', 'confirmed') })
  expect(await second.ok('cat /usr/share/pine-test/r2')).toBe('r2')
  expect(await second.ok('tree --version; dpkg -s tree | grep ^Status')).toContain('ok installed')
  expect((await second.type('dpkg -s less')).exit).not.toBe(0)
  expect(await second.ok('cat /etc/motd /var/lib/shop/orders')).toBe('do not reboot\n42')
  expect(await second.ok('cat /etc/.pine-new/motd /etc/.pine-new/CONFLICTS')).toBe(
    'welcome to r2\nboth-changed motd',
  )
  expect(await second.status()).toMatchObject({ etcConflicts: ['both-changed motd'] })
  expect(await second.ok('cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub')).toBe(identity)
  expect(await second.ok('systemctl --failed --no-legend')).toBe('')

  // A release whose kernel panics, twice, since it has two tries.
  expect(await second.apply('--tries 2')).toMatchObject({ exit: 0 })
  await second.reboot()
  for (const [attempt, firmware] of PANICS) {
    const crashed = server.boot(attempt, { firmware })
    await crashed.sees('Kernel panic')
    await crashed.restarts()
  }

  const third = server.boot('after-panic', { firmware: 'uefi', bundle: bundle('hang') })
  await third.up()
  expect(await third.status()).toMatchObject({ slots: booted('b'), rejected: [{ version: '3.0.0' }] })
  expect(await third.ok('cat /var/lib/shop/orders')).toBe('42')

  // A release whose init hangs: the watchdog ends it, the kernel's own and then one of the hardware.
  expect(await third.apply('--tries 2')).toMatchObject({ exit: 0 })
  await third.reboot()
  for (const [attempt, options, watchdog] of HANGS) {
    const hung = server.boot(attempt, options)
    await hung.sees(`watchdog ${watchdog} resets this boot in ${DEADLINE_S} s`)
    await hung.sees('init hangs')
    await hung.restarts()
  }

  const fourth = server.boot('after-hang', { bundle: bundle('unhealthy') })
  await fourth.up()
  expect(await fourth.status()).toMatchObject({
    slots: booted('b'),
    rejected: [{ version: '3.0.0' }, { version: '4.0.0' }],
  })

  // A release that boots and serves nothing: its own health check says so, and it gives itself up.
  await fourth.applyAndRestart()
  const unhealthy = server.boot('unhealthy')
  await unhealthy.restarts()

  const fifth = server.boot('after-unhealthy', { bundle: bundle('unhealthy') })
  await fifth.up()
  const { slots, rejected } = await fifth.status()
  expect(slots).toEqual(booted('b'))
  expect(slots).toEqual(condition('a', 'rejected'))
  expect(rejected.at(-1)).toMatchObject({
    version: '5.0.0',
    reason: expect.stringContaining('the shop is closed'),
  })
  expect(await fifth.ok('pine-update status')).toContain('the shop is closed')

  // What was rejected is not applied again, unless somebody insists.
  const again = await fifth.apply('')
  expect(again).toMatchObject({ exit: 3, text: expect.stringContaining('REJECTED_BEFORE') })
  expect(await fifth.apply('--force-rejected --dry-run')).toMatchObject({ exit: 0 })
  expect(await fifth.status()).toMatchObject({ slots: booted('b'), trial: null })
  await fifth.powerOff()
})
