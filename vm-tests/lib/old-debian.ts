import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runVm } from './qemu.ts'
import { bootstrap, kept, put } from './release-trees.ts'

const SOURCE = join(process.cwd(), 'vm-tests/lib/old-debian.ts')
const MIB = 1024 ** 2
const INSTALL_MS = 4 * 60_000
const PACKAGES = [
  ...['systemd-sysv', 'linux-image-cloud-amd64', 'initramfs-tools', 'grub-pc', 'e2fsprogs', 'fdisk'],
  ...['openssh-server', 'ifupdown', 'iproute2', 'procps', 'udev', 'kmod'],
]
/** Its network: qemu's, by hand as at a hoster. */
export const ADDRESS = '10.0.2.15/24'
const INTERFACES = `auto lo eth0
iface lo inet loopback
iface eth0 inet static
  address ${ADDRESS}
  gateway 10.0.2.2
`

/** In place of init: what an installer does last. */
const INSTALL = `#!/bin/sh
mount -o remount,rw /
grub-install /dev/vda && update-grub && echo "<installed>"
sync && mount -o remount,ro / && echo o >/proc/sysrq-trigger && sleep 60
`

export interface OldDebian {
  /** A disk with GPT, for BIOS; nobody writes to it. */
  disk: string
  /** Of root, for ssh. */
  key: string
}

/** A Debian as somebody rents it: installed from packages, its GRUB by its own grub-install, ssh, an address by hand. */
export async function oldDebian(suite: string, diskBytes: number): Promise<OldDebian> {
  const key = createHash('sha256').update(readFileSync(SOURCE)).update(`${suite} ${diskBytes}`).digest('hex')
  const folder = kept(`old-${suite}`, key.slice(0, 16), (into) => buildDisk(suite, diskBytes, into))
  const old = { disk: join(folder, 'disk.img'), key: join(folder, 'id') }
  const installed = join(folder, 'installed')
  if (!readdirSync(folder).includes('installed')) {
    await installLoader(folder)
    writeFileSync(installed, '')
  }
  return old
}

function buildDisk(suite: string, diskBytes: number, into: string): void {
  const at = (name: string) => join(into, name)
  bootstrap(suite, at('tree'), ['--variant=minbase', `--include=${PACKAGES.join(',')}`])
  run('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', at('id'))
  configure(at('tree'), readFileSync(at('id.pub'), 'utf8'))
  const boot = join(at('tree'), 'boot')
  for (const name of readdirSync(boot)) {
    const short = /^(vmlinuz|initrd\.img)-/.exec(name)?.[1]
    if (short !== undefined) run('cp', join(boot, name), at(short))
  }
  const rootBytes = diskBytes - 4 * MIB
  writeFileSync(at('root.img'), '')
  truncateSync(at('root.img'), rootBytes)
  run('mke2fs', '-q', '-t', 'ext4', '-L', 'old', '-d', at('tree'), at('root.img'))
  writeFileSync(at('disk.img'), '')
  truncateSync(at('disk.img'), diskBytes)
  const table = `label: gpt\nstart=1MiB,size=1MiB,type=21686148-6449-6E6F-744E-656564454649\nstart=2MiB,size=${rootBytes / MIB}MiB\n`
  execFileSync('sfdisk', ['--quiet', at('disk.img')], { input: table, stdio: 'pipe' })
  run(
    'dd',
    `if=${at('root.img')}`,
    `of=${at('disk.img')}`,
    'bs=1M',
    'seek=2',
    'conv=sparse,notrunc',
    'status=none',
  )
  for (const name of ['tree', 'root.img']) rmSync(at(name), { recursive: true })
}

function configure(tree: string, publicKey: string): void {
  put(tree, 'etc/hostname', 'rented\n')
  put(tree, 'etc/hosts', '127.0.0.1 localhost\n127.0.1.1 rented\n')
  put(tree, 'etc/fstab', '/dev/vda2 / ext4 errors=remount-ro 0 1\n')
  put(tree, 'etc/resolv.conf', 'nameserver 10.0.2.3\n')
  put(tree, 'etc/network/interfaces', INTERFACES)
  put(
    tree,
    'etc/default/grub',
    'GRUB_DEFAULT=0\nGRUB_TIMEOUT=1\nGRUB_CMDLINE_LINUX="net.ifnames=0 console=ttyS0"\n',
  )
  mkdirSync(join(tree, 'root/.ssh'), { recursive: true, mode: 0o700 })
  put(tree, 'root/.ssh/authorized_keys', publicKey, 0o600)
  put(tree, 'srv/shop', 'what the old system served\n')
  // A key of its own, made by the installer as on every machine.
  run('chroot', tree, 'ssh-keygen', '-A')
  put(tree, 'root/install', INSTALL, 0o755)
}

/** In the machine itself, as an installer does. */
async function installLoader(folder: string): Promise<void> {
  const at = (name: string) => join(folder, name)
  const words = 'root=/dev/vda2 ro console=ttyS0 init=/root/install'
  const extraArgs = [
    '-cpu',
    'qemu64,-cx16',
    '-kernel',
    at('vmlinuz'),
    '-initrd',
    at('initrd.img'),
    '-append',
    words,
  ]
  const { output } = await runVm(
    { disk: at('disk.img'), serialLog: at('install.log'), extraArgs, memoryMiB: 512 },
    INSTALL_MS,
  )
  if (!output.includes('<installed>')) throw new Error(`GRUB was not installed, see ${at('install.log')}`)
}

function run(command: string, ...args: string[]): void {
  execFileSync(command, args, { stdio: ['ignore', 'ignore', 'inherit'] })
}
