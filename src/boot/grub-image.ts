import { PineError } from '../core/error.ts'
import { withTempDir } from '../host/files.ts'
import type { Host } from '../host/host.ts'

export interface GrubImageOptions {
  /** GRUB's modules; default is where Debian has them. */
  modulesDir?: string
  /** How long to wait before starting over where no bootstate partition is found; default 30. */
  sleepSeconds?: number
}

/** GRUB for one firmware. */
export interface GrubPlatform {
  /** As grub-mkimage names it. */
  format: 'i386-pc' | 'x86_64-efi'
  /** Debian's, for all that goes into a disk for this firmware. */
  packages: string
  /** Beside those that every image has. */
  modules: readonly string[]
  /** Commands that set up the console. */
  console: string
}

// Everything is inside: GRUB must not look for a module on a disk. No shell commands beyond the script's own.
const MODULES = [
  ...['part_gpt', 'part_msdos', 'memdisk', 'tar', 'squash4', 'gzio', 'xzio', 'lzopio', 'ext2', 'xfs'],
  ...['normal', 'configfile', 'test', 'regexp', 'probe', 'loadenv', 'linux', 'boot', 'multiboot'],
  ...['echo', 'sleep', 'reboot'],
]

// With a prefix that names no device, $root is where the firmware found this image: `hd0` on BIOS, `hd0,gpt1` on UEFI.
// ($cmdpath is empty on BIOS in 2.12.) No `if` here: the first lines are read by a simpler parser.
const FIRST_LINES = 'set disk=$root\nset prefix=(memdisk)\n'
const NO_DEVICE = '/none'

/**
 * Finds the bootstate partition on `$disk`, whatever its number, and runs its script. Other disks are not searched: a
 * second disk with the same layout must not decide what this one boots.
 */
function firstScript(console: string, sleepSeconds: number): string {
  const parts = [...range(16).map((n) => `gpt${n}`), ...range(4).map((n) => `msdos${n}`)]
  return `${console}
regexp --set=1:disk '^([^,]+)' "$disk"
for part in ${parts.join(' ')}; do
  if [ -f "($disk,$part)/env0" ]; then
    probe --set=type --fs "($disk,$part)"
    if [ "$type" = tarfs ]; then
      if [ -f "($disk,$part)/grub.cfg" ]; then
        set root="$disk,$part"
        source "($root)/grub.cfg"
      fi
    fi
  fi
done
echo "pine-update: no bootstate partition on $disk; next attempt in ${sleepSeconds} s"
sleep ${sleepSeconds}
reboot
`
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1)
}

/**
 * Runs grub-mkimage. The image holds no partition number and nothing of one disk; the same GRUB gives the same bytes.
 * Throws `TOOL_MISSING`.
 */
export async function makeGrubImage(
  host: Host,
  platform: GrubPlatform,
  options: GrubImageOptions,
): Promise<Buffer> {
  await readGrubFile(host, 'kernel.img', platform, options)
  return withTempDir(async (dir) => {
    await host.replaceFile(`${dir}/grub.cfg`, firstScript(platform.console, options.sleepSeconds ?? 30))
    const tar = ['--format=ustar', '--mtime=@0', '--mode=644', '--owner=0', '--group=0', '--numeric-owner']
    await host.exec('tar', [...tar, '-C', dir, '-cf', `${dir}/memdisk.tar`, 'grub.cfg'])
    await host.replaceFile(`${dir}/first.cfg`, FIRST_LINES)
    const places = ['-d', modulesOf(platform, options), '-O', platform.format, '-o', `${dir}/image`]
    const first = ['-m', `${dir}/memdisk.tar`, '-c', `${dir}/first.cfg`, '-p', NO_DEVICE]
    await host.exec('grub-mkimage', [...places, ...first, ...MODULES, ...platform.modules])
    const image = await host.readFile(`${dir}/image`)
    if (image === undefined) throw new Error('grub-mkimage ended well without writing its image')
    return image
  })
}

/** A file among GRUB's modules. Throws `TOOL_MISSING` where they are not installed. */
export async function readGrubFile(
  host: Host,
  name: string,
  platform: GrubPlatform,
  options: GrubImageOptions,
): Promise<Buffer> {
  const folder = modulesOf(platform, options)
  const content = await host.readFile(`${folder}/${name}`)
  if (content !== undefined) return content
  throw new PineError('TOOL_MISSING', `GRUB for ${platform.format} is not in ${folder}: ${name} is missing`, {
    hint: `apt-get install ${platform.packages}`,
  })
}

function modulesOf({ format }: GrubPlatform, { modulesDir }: GrubImageOptions): string {
  return modulesDir ?? `/usr/lib/grub/${format}`
}
