import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { copyDisk } from './commands.ts'
import { DEFAULT_DEBIAN, type OldDebianOptions, oldDebian } from './old-debian.ts'
import { rootPlaceOf } from './old-disk.ts'
import { type RentedBox, startBox } from './rented-box.ts'

export interface TakeoverCase extends OldDebianOptions {
  memoryMiB: number
}

const DEFAULT: TakeoverCase = { ...DEFAULT_DEBIAN, memoryMiB: 256 }

/** Machines as people rent them. */
export const TAKEOVERS = {
  'debian-12': DEFAULT,
  mbr: { ...DEFAULT, table: 'dos' },
  uefi: { ...DEFAULT, firmware: 'uefi' },
  // Debian's kernel leaves 69 MB of them: its initramfs with all modules does not fit.
  '128-mb': { ...DEFAULT, memoryMiB: 128, modules: 'few' },
  'debian-11-dhcp': { ...DEFAULT, suite: 'bullseye', network: 'dhcp' },
  'debian-13-xfs-on-link': { ...DEFAULT, suite: 'trixie', fs: 'xfs', network: 'on-link' },
} as const satisfies Record<string, TakeoverCase>

/** A rented machine, with what a person there has on it. */
export interface TakeoverBox extends RentedBox {
  /** The disk, which is a copy. */
  disk: string
  /** Of root. */
  key: string
  /** Where the partition of the old root begins, in bytes of the disk. */
  rootOffset: number
  /** `pine-update hijack …` in either system. */
  hijack(words: string): Promise<string>
  /** `hijack status`. */
  stage(): Promise<Record<string, unknown>>
}

export const IS_OLD = 'test -e /srv/shop'
export const IS_R1 = 'test -e /usr/share/pine-test/r1'
/** In the old system and in the new one. */
export const PINE = 'PATH=$PATH:/root/pine pine-update'
export const MOUNT_CARGO =
  '{ mountpoint -q /run/cargo || { mkdir -p /run/cargo && mount -t squashfs -o ro /dev/vdb /run/cargo; }; }'
const UNPACK = 'tar -xzf /run/cargo/pine-update.tar.gz -C /root && mv /root/pine-update-* /root/pine'

/** A machine of its own, up and logged in to; the archive is unpacked there. */
export async function rentBox(kind: TakeoverCase, cargo: string, dir: string): Promise<TakeoverBox> {
  const { memoryMiB, ...debian } = kind
  const old = await oldDebian(debian)
  const disk = join(dir, 'disk.img')
  copyDisk(old.disk, disk)
  const variables = old.variables === undefined ? undefined : join(dir, 'variables.fd')
  if (old.variables !== undefined && variables !== undefined) copyFileSync(old.variables, variables)
  const { firmware } = kind
  const box = await startBox({ disk, firmware, variables, key: old.key, cargo, dir, name: 'box', memoryMiB })
  await box.isUp(IS_OLD)
  await box.ok(`${MOUNT_CARGO} && ${UNPACK}`)
  return {
    ...box,
    disk,
    key: old.key,
    rootOffset: rootPlaceOf(kind).offset,
    hijack: (words) => box.ok(`${PINE} hijack ${words}`),
    stage: async () => JSON.parse(await box.ok(`${PINE} hijack status --json`)),
  }
}

/** A good rehearsal of what is staged; the old system is up again. */
export async function rehearseWell({ hijack, isUp, isUpAgain, ssh }: TakeoverBox): Promise<void> {
  await isUpAgain(IS_R1, () => hijack('rehearse --deadline 900 --reboot'))
  await ssh('pine-update confirm')
  await isUp(IS_OLD)
}

/** Where on the cargo an image is, and what it is called. */
export function imageOptions(name: string, version: string, append = ''): string {
  const words = ['console=ttyS0', ...(append === '' ? [] : [append])].join(' ')
  return `--image /run/cargo/${name}.img --compatible rented --release ${version} --append "${words}"`
}
