import { createHash } from 'node:crypto'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { run } from './commands.ts'
import { makeOldDisk, mountsOf, type OldDisk, rootDeviceOf } from './old-disk.ts'
import { EMPTY_VARIABLES, type Firmware, runVm } from './qemu.ts'
import { bootstrap, kept, put } from './release-trees.ts'

const SOURCES = ['old-debian.ts', 'old-disk.ts'].map((name) => join(process.cwd(), 'vm-tests/lib', name))
const INSTALL_MS = 6 * 60_000
const PACKAGES = [
  ...['systemd-sysv', 'linux-image-cloud-amd64', 'initramfs-tools', 'e2fsprogs', 'xfsprogs', 'fdisk'],
  ...['openssh-server', 'ifupdown', 'iproute2', 'procps', 'udev', 'kmod'],
]
const LOADERS: Record<Firmware, string> = { bios: 'grub-pc', uefi: 'grub-efi-amd64' }

/** What somebody rents. */
export interface OldDebianOptions extends OldDisk {
  suite: 'bullseye' | 'bookworm' | 'trixie'
  network: Network
  /** `few`: as people make it where the one with all modules does not fit into memory. initramfs.conf(5) */
  modules: 'most' | 'few'
}

/** By hand, by DHCP, or an address of its own with a gateway outside of it, and IPv6. */
type Network = 'static' | 'dhcp' | 'on-link'

export const DEFAULT_DEBIAN: OldDebianOptions = {
  suite: 'bookworm',
  firmware: 'bios',
  table: 'gpt',
  fs: 'ext4',
  network: 'static',
  modules: 'most',
  diskMiB: 3072,
  fullPercent: 35,
  isScattered: false,
}

const LOOPBACK = 'auto lo eth0\niface lo inet loopback\n'
/** What qemu's network has: 10.0.2.0/24 with a gateway at 10.0.2.2, fec0::/64 with one at fe80::2. */
const INTERFACES: Record<Network, string> = {
  static: `${LOOPBACK}iface eth0 inet static\n  address 10.0.2.15/24\n  gateway 10.0.2.2\n`,
  dhcp: `${LOOPBACK}iface eth0 inet dhcp\n`,
  'on-link': `${LOOPBACK}iface eth0 inet static
  address 10.0.2.15/32
  up ip route add 10.0.2.2 dev eth0
  up ip route add default via 10.0.2.2
iface eth0 inet6 static
  address fec0::f00d/128
  accept_ra 0
  gateway fe80::2
`,
}
/** For ifupdown; the older one is gone from Debian 13. */
const DHCP_CLIENT = { bullseye: 'isc-dhcp-client', bookworm: 'isc-dhcp-client', trixie: 'dhcpcd-base' }

/** In place of init: what an installer does last. */
const INSTALL: Record<Firmware, string> = {
  bios: 'grub-install /dev/vda',
  uefi: 'mount -t efivarfs none /sys/firmware/efi/efivars && mount /boot/efi && grub-install --target=x86_64-efi',
}

function installer(firmware: Firmware): string {
  return `#!/bin/sh
mount -o remount,rw /
${INSTALL[firmware]} && update-grub && echo "<installed>"
umount /boot/efi 2>/dev/null
sync && mount -o remount,ro / && echo o >/proc/sysrq-trigger && sleep 60
`
}

export interface OldDebian {
  /** A disk that nobody writes to. */
  disk: string
  /** What the firmware knows; nobody writes to it either. Undefined for BIOS. */
  variables: string | undefined
  /** Of root, for ssh. */
  key: string
}

/** A Debian as somebody rents it: installed from packages, its GRUB by its own grub-install, and ssh. */
export async function oldDebian(options: OldDebianOptions): Promise<OldDebian> {
  const kind = Object.values(options).join('-')
  const hash = createHash('sha256')
  for (const path of SOURCES) hash.update(readFileSync(path))
  const key = hash.digest('hex').slice(0, 16)
  const folder = kept(`old-disk-${kind}`, key, (into) => buildDisk(options, into))
  const installed = join(folder, 'installed')
  if (!existsSync(installed)) {
    await installLoader(folder, options)
    writeFileSync(installed, '')
  }
  const variables = options.firmware === 'uefi' ? join(folder, 'variables.fd') : undefined
  return { disk: join(folder, 'disk.img'), variables, key: join(folder, 'id') }
}

function buildDisk(options: OldDebianOptions, into: string): void {
  const at = (name: string) => join(into, name)
  const tree = at('tree')
  run('cp', '-a', join(packagesOf(options), 'tree'), tree)
  run('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', at('id'))
  configure(tree, options, readFileSync(at('id.pub'), 'utf8'))
  const boot = join(tree, 'boot')
  for (const name of readdirSync(boot)) {
    const short = /^(vmlinuz|initrd\.img)-/.exec(name)?.[1]
    if (short !== undefined) run('cp', join(boot, name), at(short))
  }
  makeOldDisk(options, tree, at('disk.img'))
  if (options.firmware === 'uefi') copyFileSync(EMPTY_VARIABLES, at('variables.fd'))
  rmSync(tree, { recursive: true })
}

/** Folder with the packages, of which several disks are made. */
function packagesOf({ suite, firmware }: OldDebianOptions): string {
  const packages = [...PACKAGES, LOADERS[firmware], DHCP_CLIENT[suite]].join(',')
  const key = createHash('sha256').update(packages).digest('hex').slice(0, 16)
  return kept(`old-packages-${suite}-${firmware}`, key, (into) => {
    bootstrap(suite, join(into, 'tree'), ['--variant=minbase', `--include=${packages}`])
  })
}

function configure(tree: string, options: OldDebianOptions, publicKey: string): void {
  put(tree, 'etc/hostname', 'rented\n')
  put(tree, 'etc/hosts', '127.0.0.1 localhost\n127.0.1.1 rented\n')
  put(tree, 'etc/fstab', mountsOf(options))
  put(tree, 'etc/resolv.conf', 'nameserver 10.0.2.3\n')
  put(tree, 'etc/network/interfaces', INTERFACES[options.network])
  put(
    tree,
    'etc/default/grub',
    'GRUB_DEFAULT=0\nGRUB_TIMEOUT=1\nGRUB_CMDLINE_LINUX="net.ifnames=0 console=ttyS0"\n',
  )
  for (const folder of ['root/.ssh', 'boot/efi'])
    mkdirSync(join(tree, folder), { recursive: true, mode: 0o700 })
  put(tree, 'root/.ssh/authorized_keys', publicKey, 0o600)
  put(tree, 'srv/shop', 'what the old system served\n')
  if (options.modules === 'few') {
    put(tree, 'etc/initramfs-tools/conf.d/few', 'MODULES=list\n')
    put(tree, 'etc/initramfs-tools/modules', `virtio_pci\nvirtio_blk\n${options.fs}\n`)
    run('chroot', tree, 'update-initramfs', '-u')
  }
  // A key of its own, made by the installer as on every machine.
  run('chroot', tree, 'ssh-keygen', '-A')
  put(tree, 'root/install', installer(options.firmware), 0o755)
}

/** In the machine itself, as an installer does. */
async function installLoader(folder: string, options: OldDebianOptions): Promise<void> {
  const at = (name: string) => join(folder, name)
  const { firmware, fs } = options
  const words = `root=${rootDeviceOf(options)} rootfstype=${fs} ro net.ifnames=0 console=ttyS0 init=/root/install`
  const kernel = ['-kernel', at('vmlinuz'), '-initrd', at('initrd.img'), '-append', words]
  const machine = { disk: at('disk.img'), firmware, memoryMiB: 512, serialLog: at('install.log') }
  const variables = firmware === 'uefi' ? at('variables.fd') : undefined
  const extraArgs = ['-cpu', 'qemu64,-cx16', ...kernel]
  const { output } = await runVm({ ...machine, variables, extraArgs }, INSTALL_MS)
  if (!output.includes('<installed>')) throw new Error(`GRUB was not installed, see ${at('install.log')}`)
}
