import type { Host } from '../host/host.ts'
import type { BoxFacts } from './box-facts.ts'

/** How our loader starts the old system. */
export interface OldSystem {
  /** GRUB's name of the partition that kernel and initrd are on: `gpt1`. */
  part: string
  /** Paths within that partition. */
  kernel: string
  initrd: string
  arguments: string
}

/** Words of its command line that its own loader put there, or that are about a start that failed. */
const NOT_KEPT = /^(BOOT_IMAGE|initrd|panic|pine\.\w+)=/

/** Of the kernel that runs: it is known to start. Undefined where its files are not where Debian has them. */
export async function readOldSystem(host: Host, { boot }: BoxFacts): Promise<OldSystem | undefined> {
  const { partition, mount } = boot
  const release = (await host.exec('uname', ['--kernel-release'])).trim()
  const [kernel, initrd] = [`/boot/vmlinuz-${release}`, `/boot/initrd.img-${release}`]
  const areThere = (await host.kindOf(kernel)) === 'file' && (await host.kindOf(initrd)) === 'file'
  if (partition === undefined || !areThere) return undefined
  const inPartition = (path: string) => (mount.at === '/' ? path : path.slice(mount.at.length))
  const words = String((await host.readFile('/proc/cmdline')) ?? '')
    .trim()
    .split(/\s+/)
  return {
    part: `gpt${partition.number}`,
    kernel: inPartition(kernel),
    initrd: inPartition(initrd),
    arguments: words.filter((word) => !NOT_KEPT.test(word)).join(' '),
  }
}
