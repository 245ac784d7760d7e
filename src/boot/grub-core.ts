import { PineError } from '../core/error.ts'
import type { Host } from '../host/host.ts'
import { type GrubImageOptions, type GrubPlatform, makeGrubImage, readGrubFile } from './grub-image.ts'

/** Our own GRUB for BIOS, as grub-mkimage made it, without a place on a disk yet. */
export interface CoreImage {
  /** The code of the boot sector, 512 bytes. */
  boot: Buffer
  /** Loaded by the boot sector; whole sectors. */
  core: Buffer
}

const SECTOR_BYTES = 512

const BIOS: GrubPlatform = {
  format: 'i386-pc',
  packages: 'grub-pc-bin grub-common',
  modules: ['biosdisk', 'serial', 'terminal'],
  console: `if serial --unit=0 --speed=115200; then
  terminal_output console serial
fi`,
}

/** Makes GRUB for BIOS. The result fits any disk. Throws `TOOL_MISSING`. */
export async function makeCoreImage(host: Host, options: GrubImageOptions = {}): Promise<CoreImage> {
  const boot = await readGrubFile(host, 'boot.img', BIOS, options)
  const core = await makeGrubImage(host, BIOS, options)
  return { boot, core: Buffer.concat([core, Buffer.alloc(-core.length & (SECTOR_BYTES - 1))]) }
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
