import { PineError } from '../core/error.ts'
import { withTempDir } from '../host/files.ts'
import type { Host } from '../host/host.ts'

/** Our own GRUB for BIOS, as grub-mkimage made it, without a place on a disk yet. */
export interface CoreImage {
  /** The code of the boot sector, 512 bytes. */
  boot: Buffer
  /** Loaded by the boot sector; whole sectors. */
  core: Buffer
}

export interface CoreImageOptions {
  /** GRUB's modules; default `/usr/lib/grub/i386-pc`. */
  modulesDir?: string
  /** How long to wait before starting over where no bootstate partition is found; default 30. */
  sleepSeconds?: number
}

const MODULES_DIR = '/usr/lib/grub/i386-pc'
const SECTOR_BYTES = 512

// Everything is inside: GRUB must not look for a module on a disk. No shell commands beyond the script's own.
const MODULES = [
  ...['biosdisk', 'part_gpt', 'part_msdos', 'memdisk', 'tar', 'squash4', 'gzio', 'xzio', 'lzopio', 'ext2'],
  ...['normal', 'configfile', 'test', 'regexp', 'probe', 'loadenv', 'linux', 'boot', 'chain'],
  ...['serial', 'terminal', 'echo', 'sleep', 'reboot'],
]

// With a prefix that names no device, $root is the disk the BIOS started. ($cmdpath is empty in 2.12.) No `if` here: the
// first lines are read by a simpler parser.
const FIRST_LINES = 'set disk=$root\nset prefix=(memdisk)\n'
const NO_DEVICE = '/none'

/**
 * Finds the bootstate partition on `$disk`, whatever its number, and runs its script. Other disks are not searched: a
 * second disk with the same layout must not decide what this one boots.
 */
function firstScript(sleepSeconds: number): string {
  const parts = [...range(16).map((n) => `gpt${n}`), ...range(4).map((n) => `msdos${n}`)]
  return `
if serial --unit=0 --speed=115200; then
  terminal_output console serial
fi
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

/** Runs grub-mkimage for i386-pc. The result fits any disk: it holds no partition number. */
export async function makeCoreImage(host: Host, options: CoreImageOptions = {}): Promise<CoreImage> {
  const modulesDir = options.modulesDir ?? MODULES_DIR
  const boot = await host.readFile(`${modulesDir}/boot.img`)
  if (boot === undefined) {
    throw new PineError('TOOL_MISSING', `GRUB for BIOS is not in ${modulesDir}: boot.img is missing`, {
      hint: 'apt-get install grub-pc-bin grub-common',
    })
  }
  return withTempDir(async (dir) => {
    await host.replaceFile(`${dir}/grub.cfg`, firstScript(options.sleepSeconds ?? 30))
    const tar = ['--format=ustar', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner']
    await host.exec('tar', [...tar, '-C', dir, '-cf', `${dir}/memdisk.tar`, 'grub.cfg'])
    await host.replaceFile(`${dir}/first.cfg`, FIRST_LINES)
    const places = ['-d', modulesDir, '-O', 'i386-pc', '-o', `${dir}/core.img`]
    const first = ['-m', `${dir}/memdisk.tar`, '-c', `${dir}/first.cfg`, '-p', NO_DEVICE]
    await host.exec('grub-mkimage', [...places, ...first, ...MODULES])
    const core = await host.readFile(`${dir}/core.img`)
    if (core === undefined) throw new Error('grub-mkimage ended well without writing core.img')
    return { boot, core: Buffer.concat([core, Buffer.alloc(-core.length & (SECTOR_BYTES - 1))]) }
  })
}

export interface CorePlace {
  /** First sector of the bios-boot partition, in 512-byte sectors from the start of the disk. */
  coreLba: number
  /** Bytes of the bios-boot partition. */
  availableBytes: number
}

/** What is to be written: `bootCode` at byte 0 of the disk, `core` at the start of the bios-boot partition. */
export interface EmbeddedCore {
  /** 440 bytes: the disk signature and the partition table that follow in the same sector stay as they are. */
  bootCode: Buffer
  core: Buffer
}

/** Offsets: GRUB's include/grub/i386/pc/boot.h. */
const BOOT_CODE_BYTES = 440
const KERNEL_SECTOR = 0x5c
const DRIVE_CHECK = 0x66
const NOP_NOP = 0x9090
const FIRST_BLOCK_LIST = 0x1f4
/** Where the second sector of the core goes: 0x8000 is the first, in paragraphs. */
const SECOND_SECTOR_SEGMENT = 0x820

/** Tells the boot sector and the core where the core is. Changes neither argument; does not write to a disk. */
export function embedCore({ boot, core }: CoreImage, place: CorePlace): EmbeddedCore {
  if (core.length > place.availableBytes) {
    throw new PineError(
      'DISK_TOO_SMALL',
      `the loader needs ${core.length} bytes, the bios-boot partition has ${place.availableBytes}`,
      { hint: 'make the bios-boot partition 1 MiB in the layout' },
    )
  }
  const bootCode = Buffer.from(boot.subarray(0, BOOT_CODE_BYTES))
  bootCode.writeBigUInt64LE(BigInt(place.coreLba), KERNEL_SECTOR)
  // Some BIOSes pass a wrong drive number; without the jump the boot sector corrects it.
  bootCode.writeUInt16LE(NOP_NOP, DRIVE_CHECK)
  const placed = Buffer.from(core)
  placed.writeBigUInt64LE(BigInt(place.coreLba + 1), FIRST_BLOCK_LIST)
  placed.writeUInt16LE(core.length / SECTOR_BYTES - 1, FIRST_BLOCK_LIST + 8)
  placed.writeUInt16LE(SECOND_SECTOR_SEGMENT, FIRST_BLOCK_LIST + 10)
  return { bootCode, core: placed }
}
