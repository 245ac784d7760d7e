import { execFileSync } from 'node:child_process'
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { DEFAULT_DEBIAN, type OldDebianOptions, oldDebian } from './old-debian.ts'
import { type RentedBox, startBox } from './rented-box.ts'

export interface TakeoverCase extends OldDebianOptions {
  memoryMiB: number
}

const DEFAULT: TakeoverCase = { ...DEFAULT_DEBIAN, memoryMiB: 256 }

/** Machines as people rent them. */
export const TAKEOVERS = {
  'Debian 12': DEFAULT,
  'Debian 12, xfs': { ...DEFAULT, fs: 'xfs' },
  'Debian 12, MBR': { ...DEFAULT, table: 'dos' },
  'Debian 12, UEFI': { ...DEFAULT, firmware: 'uefi' },
  'Debian 12, 128 MB': { ...DEFAULT, memoryMiB: 128 },
  'Debian 11, DHCP': { ...DEFAULT, suite: 'bullseye', network: 'dhcp' },
  'Debian 13, /32 and IPv6': { ...DEFAULT, suite: 'trixie', network: 'on-link' },
} as const satisfies Record<string, TakeoverCase>

/** A rented machine, with what a person there has on it. */
export interface TakeoverBox extends RentedBox {
  /** The disk, which is a copy. */
  disk: string
  /** `pine-update hijack …` in the old system. */
  hijack(words: string): Promise<string>
  /** `hijack status`, wherever it runs. */
  stage(): Promise<Record<string, unknown>>
}

export const IS_OLD = 'test -e /srv/shop'
const MOUNT =
  'mountpoint -q /run/cargo || { mkdir -p /run/cargo && mount -t squashfs -o ro /dev/vdb /run/cargo; }'
const OUR_OLD = '/root/pine/pine-update'

/** A machine of its own, up and logged in to; the archive is unpacked there. */
export async function rentBox(kind: TakeoverCase, cargo: string, dir: string): Promise<TakeoverBox> {
  const { memoryMiB, ...debian } = kind
  const old = await oldDebian(debian)
  const disk = join(dir, 'disk.img')
  execFileSync('cp', ['--sparse=always', old.disk, disk])
  const variables = old.variables === undefined ? undefined : join(dir, 'variables.fd')
  if (old.variables !== undefined && variables !== undefined) copyFileSync(old.variables, variables)
  const { firmware } = kind
  const box = await startBox({ disk, firmware, variables, key: old.key, cargo, dir, name: 'box', memoryMiB })
  await box.isUp(IS_OLD)
  await box.ok(
    `${MOUNT}; tar -xzf /run/cargo/pine-update.tar.gz -C /root && mv /root/pine-update-* /root/pine`,
  )
  return {
    ...box,
    disk,
    hijack: (words) => box.ok(`${OUR_OLD} hijack ${words}`),
    stage: async () => JSON.parse(await box.ok(`PATH=$PATH:/root/pine; pine-update hijack status --json`)),
  }
}

/** Where on the cargo an image is, and what it is called. */
export function imageOptions(name: string, version: string, append = ''): string {
  const words = ['console=ttyS0', ...(append === '' ? [] : [append])].join(' ')
  return `--image /run/cargo/${name}.img --compatible rented --release ${version} --append "${words}"`
}

export const MOUNT_CARGO = MOUNT

/** What somebody who looks from outside would miss. */
async function reachability(box: TakeoverBox): Promise<string> {
  const routes = 'grep -o "via [^ ]*" | sort -u'
  return box.ok(
    `hostname; ip -o addr show scope global | awk '{ print $4 }' | sort; ip route show default | ${routes}; ip -6 route show default | ${routes}; cat /etc/machine-id`,
  )
}

const IS_R1 = 'test -e /usr/share/pine-test/r1'
const IS_R2 = 'test -e /usr/share/pine-test/r2'

/** From the first look to an update of the new system. */
export async function takeOver(box: TakeoverBox): Promise<void> {
  const { hijack, isUp, ok, ssh } = box
  const image = imageOptions('r1', '1.0')
  const before = await reachability(box)
  console.log(await ok('df -h /; free -m; lsblk'))
  console.log(await hijack(`plan ${image}`))
  console.log(await hijack(`stage ${image}`))
  expect(await box.stage()).toMatchObject({ stage: 'staged' })
  console.log(await hijack('rehearse --deadline 900 --reboot'))

  await isUp(IS_R1)
  console.log(await ok('pine-update status; pine-update hijack status'))
  expect(await reachability(box)).toBe(before)
  await ssh('pine-update confirm')
  await isUp(IS_OLD)
  expect(await box.stage()).toMatchObject({ stage: 'rehearsed' })
  await ok(MOUNT_CARGO)
  console.log(await hijack('commit --reboot'))

  await isUp(`${IS_R1} && pine-update hijack status | grep -q confirmed`)
  expect(await reachability(box)).toBe(before)
  console.log(await ok('pine-update status; pine-update hijack reclaim'))
  console.log(await ok('pine-update hijack reclaim --yes; lsblk; df -h /var'))
  await ok(`${MOUNT_CARGO}; pine-update apply /run/cargo/r2.bundle`)
  await ssh('systemctl reboot')
  await isUp(`${IS_R2} && pine-update status --json | grep -q '"trial": null'`)
  expect(await reachability(box)).toBe(before)
  console.log(await ok('pine-update status'))
}
