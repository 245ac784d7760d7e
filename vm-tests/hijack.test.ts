import { execFileSync } from 'node:child_process'
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeArchive } from '../test/support/archive.ts'
import { type OldDebian, oldDebian } from './lib/old-debian.ts'
import { releaseTrees } from './lib/release-trees.ts'
import { type RentedBox, startBox } from './lib/rented-box.ts'

const REPO = join(import.meta.dirname, '..')
const HOUR_MS = 3_600_000
const DISK_BYTES = 3 * 1024 ** 3

let dir: string
let old: OldDebian
let box: RentedBox | undefined
let failed = true

beforeAll(async () => {
  const cache = join(REPO, '.cache/vm')
  mkdirSync(cache, { recursive: true })
  dir = mkdtempSync(join(cache, 'takeover-'))
  old = await oldDebian('bookworm', DISK_BYTES)
  buildCargo()
}, HOUR_MS)
afterAll(async () => {
  await box?.vm.kill()
  if (failed) console.log(`serial logs and disk are kept in ${dir}`)
  else rmSync(dir, { recursive: true, force: true })
})

function pine(...words: string[]): void {
  execFileSync(process.execPath, [join(REPO, 'dist/pine-update.cjs'), ...words], { cwd: REPO, stdio: 'pipe' })
}

/** The archive for machines without Node, an image, and an update for it. */
function buildCargo(): void {
  const at = (name: string) => join(dir, name)
  const trees = releaseTrees()
  mkdirSync(at('cargo'))
  copyFileSync(makeArchive(at('made')), at('cargo/pine-update.tar.gz'))
  pine('key', 'generate', '--out', at('ci'))
  for (const name of ['r1', 'r2'] as const) {
    mkdirSync(join(trees[name], 'etc/pine-update/keys'), { recursive: true })
    copyFileSync(at('ci.pub'), join(trees[name], 'etc/pine-update/keys/ci.pub'))
    pine('image', 'build', '--tree', trees[name], '--out', at(`${name}.img`))
  }
  cpSync(at('r1.img'), at('cargo/r1.img'))
  const release = ['--compatible', 'rented', '--release', '2.0', '--key', at('ci.key')]
  pine(
    'bundle',
    'create',
    '--from',
    at('r1.img'),
    '--to',
    at('r2.img'),
    ...release,
    '--out',
    at('cargo/r2.bundle'),
  )
  execFileSync('mksquashfs', [at('cargo'), at('cargo.img'), '-noI', '-noD', '-noF', '-quiet', '-no-progress'])
}

const MOUNT = 'mountpoint -q /mnt || mount -t squashfs -o ro /dev/vdb /mnt'
const IMAGE = '--image /mnt/r1.img --compatible rented --release 1.0 --append console=ttyS0'

test('a Debian 12 is taken over, and updated afterwards', { timeout: HOUR_MS }, async () => {
  const disk = join(dir, 'disk.img')
  execFileSync('cp', ['--sparse=always', old.disk, disk])
  box = await startBox({
    disk,
    key: old.key,
    cargo: join(dir, 'cargo.img'),
    dir,
    name: 'takeover',
    memoryMiB: 256,
  })
  const { isUp, ok, ssh } = box
  const isOld = 'test -e /srv/shop'
  const isNew = 'test -e /usr/share/pine-test/r1'
  await isUp(isOld)
  await ok(`${MOUNT}; tar -xzf /mnt/pine-update.tar.gz -C /root && mv /root/pine-update-* /root/pine`)
  const hijack = (words: string) => ok(`/root/pine/pine-update hijack ${words}`)
  console.log(await hijack(`plan ${IMAGE}`))
  console.log(await hijack(`stage ${IMAGE}`))
  expect(JSON.parse(await hijack('status --json'))).toMatchObject({ stage: 'staged' })
  console.log(await hijack('rehearse --deadline 900 --reboot'))

  await isUp(isNew)
  console.log(await ok('hostname; ip -br addr; pine-update status; pine-update hijack status'))
  await ssh('pine-update confirm')
  await isUp(isOld)
  expect(JSON.parse(await hijack('status --json'))).toMatchObject({ stage: 'rehearsed' })
  console.log(await hijack('commit --reboot'))

  await isUp(`${isNew} && pine-update hijack status | grep -q confirmed`)
  console.log(await ok('pine-update status; pine-update hijack reclaim'))
  console.log(await ok('pine-update hijack reclaim --yes; lsblk; df -h /var'))
  await ok(
    `${MOUNT.replaceAll('/mnt', '/run/cargo').replace('mountpoint', 'mkdir -p /run/cargo; mountpoint')}; pine-update apply /run/cargo/r2.bundle`,
  )
  await ssh('systemctl reboot')
  await isUp('test -e /usr/share/pine-test/r2 && pine-update status --json | grep -q \'"trial": null\'')
  console.log(await ok('pine-update status; cat /etc/hostname'))
  failed = false
})
