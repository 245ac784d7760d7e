import { PineError } from '../core/error.ts'

/** Sectors of 512 bytes, as BIOS and GRUB for BIOS count them, from the start of the disk. */
export interface SectorRun {
  lba: number
  sectors: number
}

const SECTOR_BYTES = 512
export const PHYSICAL_SECTORS = 8
/** The rest of the sector is the disk signature and the partition table of the MBR. */
const BOOT_CODE_BYTES = 440
const MBR_SIGNATURE = 0xaa55

// GRUB's include/grub/i386/pc/boot.h and grub-core/boot/i386/pc/boot.S
const JUMP = 0xeb63
const KERNEL_ADDRESS = 0x5a
const LOADED_AT = 0x8000
const KERNEL_SECTOR = 0x5c
const BOOT_DRIVE = 0x64
const SAME_DRIVE = 0xff
// grub-core/boot/i386/pc/diskboot.S: the list grows downwards from here, to an element without sectors.
const FIRST_BLOCK_LIST = 0x1f4
const BLOCK_LIST_BYTES = 12
/** More would be in the code before the list. */
const MOST_RUNS = 14

/** The boot sector of GRUB 2 for BIOS; that of GRUB 0.97 is laid out in another way. */
export function isGrubBootSector(sector: Uint8Array): boolean {
  const code = Buffer.from(sector)
  return (
    code.length === SECTOR_BYTES &&
    code.readUInt16LE(SECTOR_BYTES - 2) === MBR_SIGNATURE &&
    code.readUInt16BE(0) === JUMP &&
    code.readUInt16LE(KERNEL_ADDRESS) === LOADED_AT &&
    code.includes('GRUB ')
  )
}

/**
 * The sectors that the GRUB behind a boot sector is loaded from: its core and, as grub-install adds it, what mends the
 * core. `readSectors` reads from the disk of the boot sector. Throws `TAKEOVER_REFUSED` where that cannot be told.
 */
export async function coreInUse(
  bootSector: Uint8Array,
  readSectors: (lba: number, count: number) => Promise<Uint8Array>,
): Promise<SectorRun[]> {
  if (!isGrubBootSector(bootSector)) throw unknown('the first sector of the disk is not that of GRUB')
  const boot = Buffer.from(bootSector)
  if (boot[BOOT_DRIVE] !== SAME_DRIVE) throw unknown('GRUB is loaded from another disk')
  const first = Number(boot.readBigUInt64LE(KERNEL_SECTOR))
  if (!isSector(first)) throw unknown(`GRUB is said to be in sector ${first}`)
  return [{ lba: first, sectors: 1 }, ...blockList(Buffer.from(await readSectors(first, 1)))]
}

function blockList(firstOfCore: Buffer): SectorRun[] {
  const runs: SectorRun[] = []
  for (let index = 0; index <= MOST_RUNS; index++) {
    const at = FIRST_BLOCK_LIST - index * BLOCK_LIST_BYTES
    const [lba, sectors] = [Number(firstOfCore.readBigUInt64LE(at)), firstOfCore.readUInt16LE(at + 8)]
    if (sectors === 0) break
    if (!isSector(lba)) throw unknown(`GRUB\u2019s list of its sectors names sector ${lba}`)
    runs.push({ lba, sectors })
  }
  if (runs.length === 0 || runs.length > MOST_RUNS)
    throw unknown(`GRUB\u2019s list of its sectors has ${runs.length} elements`)
  return runs
}

/** Beyond that no disk has sectors; sector 0 is the boot sector itself. */
function isSector(lba: number): boolean {
  return lba > 0 && lba < 2 ** 48
}

export interface MovedCore {
  /** All of it, in one piece: to be written from its new sector on. */
  core: Buffer
  /** The boot sector that loads it from there. */
  bootSector: Buffer
}

/**
 * The core that a boot sector loads, for another place. `runs` and `core` are what `coreInUse` found, and the content of
 * that, in the same order. Only the two addresses change, that in the boot sector and those in the list of the first sector;
 * the redundancy that grub-bios-setup adds begins behind that sector (util/setup.c, `no_rs_length`).
 */
export function movedCore(
  bootSector: Uint8Array,
  { runs, core }: { runs: readonly SectorRun[]; core: Uint8Array },
  lba: number,
): MovedCore {
  const [sector, moved] = [Buffer.from(bootSector), Buffer.from(core)]
  sector.writeBigUInt64LE(BigInt(lba), KERNEL_SECTOR)
  let at = lba
  for (const [index, { sectors }] of runs.entries()) {
    if (index > 0) moved.writeBigUInt64LE(BigInt(at), FIRST_BLOCK_LIST - (index - 1) * BLOCK_LIST_BYTES)
    at += sectors
  }
  if (moved.length !== (at - lba) * SECTOR_BYTES) throw new Error(`a core of ${moved.length} bytes`)
  return { core: moved, bootSector: sector }
}

export interface CoreRequest {
  /** The partition, or the gap before the first one, in bytes of the disk. */
  biosBoot: { offset: number; bytes: number }
  used: readonly SectorRun[]
  coreBytes: number
}

/**
 * Where a core fits beside what is used of the partition: its first sector, of 512 bytes from the start of the disk; in
 * physical sectors of its own where that is possible. Undefined where it fits nowhere.
 */
export function placeForCore({ biosBoot, used, coreBytes }: CoreRequest): number | undefined {
  const end = Math.floor((biosBoot.offset + biosBoot.bytes) / SECTOR_BYTES)
  const sectors = Math.ceil(coreBytes / SECTOR_BYTES)
  const starts = [Math.ceil(biosBoot.offset / SECTOR_BYTES), ...used.map((run) => run.lba + run.sectors)]
  const fits = (lba: number) =>
    lba * SECTOR_BYTES >= biosBoot.offset &&
    lba + sectors <= end &&
    used.every((run) => lba + sectors <= run.lba || run.lba + run.sectors <= lba)
  const inOrder = starts.sort((one, other) => one - other)
  const aligned = inOrder.map((lba) => Math.ceil(lba / PHYSICAL_SECTORS) * PHYSICAL_SECTORS)
  return [...aligned, ...inOrder].find(fits)
}

/** The sector that is written in one piece: new code, and the partition table that is there. */
export function newBootSector(old: Uint8Array, bootCode: Uint8Array): Buffer {
  if (old.length !== SECTOR_BYTES || bootCode.length !== BOOT_CODE_BYTES)
    throw new Error(`a boot sector of ${old.length} bytes, code of ${bootCode.length}`)
  return Buffer.concat([bootCode, old.subarray(BOOT_CODE_BYTES)])
}

function unknown(problem: string): PineError {
  return new PineError('TAKEOVER_REFUSED', `${problem}: what it needs cannot be kept apart`, {
    hint: 'run "grub-install" on the disk, then try again',
  })
}
