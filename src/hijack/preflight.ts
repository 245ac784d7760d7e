import { formatBytes } from '../core/format.ts'
import { type BoxFacts, GRUB, type Place } from './box-facts.ts'
import type { Identity } from './identity.ts'
import type { ImageFacts } from './image-facts.ts'
import { efiProblems } from './preflight-efi.ts'
import { type Problem, stop } from './problem.ts'

/** File systems that keep what is allocated where it is, and that GRUB can write one sector of. */
const CARVED = ['ext4', 'xfs']
/** An MBR becomes a GPT at commit. */
export const TABLES = ['gpt', 'dos']
const WRITTEN_BY_GRUB = ['ext2', 'ext3', 'ext4', 'xfs', 'vfat']
/** Measured: a Debian kernel started by GRUB out of a squashfs image; ../docs/hijack.md. */
const SMALLEST_MEMORY = 110 * 1024 ** 2
/** Nothing of ours was made before. */
const EARLIEST = Date.UTC(2026, 0, 1)

type Rule = (facts: BoxFacts) => Problem | undefined

/** Everything that is against a takeover, not only the first. */
export function boxProblems(facts: BoxFacts): Problem[] {
  // Of a container nothing below can be said.
  const rules = facts.container === '' ? RULES : [notInContainer]
  const found = rules.flatMap((rule) => rule(facts) ?? [])
  return facts.container === '' ? [...found, ...efiProblems(facts)] : found
}

const RULES: readonly Rule[] = [
  notOurs,
  rootIsPartition,
  rootCanBeCarved,
  tableIsKnown,
  tableHasName,
  diskHasNoTwin,
  nothingNamesTable,
  loaderIsGrub,
  loaderCanBeAsked,
  loaderForgets,
  enoughMemory,
  clockIsSane,
]

function notInContainer({ container }: BoxFacts): Problem {
  return stop(
    `this is a container (${container}): it has no kernel, no boot loader and no disk of its own`,
    'take over its host, or give it a virtual machine',
  )
}

function notOurs({ isOurs }: BoxFacts): Problem | undefined {
  if (!isOurs) return undefined
  return stop('this machine runs pine-update already', 'update it with "pine-update apply"')
}

function rootIsPartition({ root }: BoxFacts): Problem | undefined {
  if (root.partition !== undefined) return undefined
  const found = root.stack.map(({ path, type }) => `${path} (${type})`).join(' on ') || root.mount.source
  return stop(
    `/ is on ${found}, expected a partition of a disk: LVM, RAID and encryption are not supported`,
    'move the system to a plain partition, or use "install" on an idle disk',
  )
}

function rootCanBeCarved({ root: { mount } }: BoxFacts): Problem | undefined {
  if (CARVED.includes(mount.fs)) return undefined
  return stop(
    `/ is ${mount.fs}, expected ${CARVED.join(' or ')}: others may move what they hold`,
    'use "install" on an idle disk',
  )
}

function tableIsKnown({ disk }: BoxFacts): Problem | undefined {
  if (disk === undefined || (TABLES.includes(disk.table) && disk.sectorBytes === 512)) return undefined
  const found = `a partition table of the kind "${disk.table}" with sectors of ${disk.sectorBytes} bytes`
  const expected = `${TABLES.join(' or ')} and 512`
  return stop(`${disk.path} has ${found}, expected ${expected}`, 'use "install" on an idle disk')
}

/** The rehearsal finds its disk by it. */
function tableHasName({ disk }: BoxFacts): Problem | undefined {
  if (disk?.table !== 'dos' || /^(?!0{8})[0-9a-f]{8}$/.test(disk.tableId)) return undefined
  return stop(
    `the partition table of ${disk.path} has no signature: its disk could not be told from others`,
    `give it one with "sfdisk --disk-id ${disk.path} 0x$(openssl rand -hex 4)", and restart`,
  )
}

/** The initramfs of the rehearsal takes the first disk with that table, and writes to it. */
function diskHasNoTwin({ disk, twins }: BoxFacts): Problem | undefined {
  if (disk === undefined || twins.length === 0) return undefined
  return stop(
    `${[disk.path, ...twins].join(' and ')} have the same partition table: one is a copy of the other`,
    'detach the copy, or give it another identity with "sfdisk --disk-id"',
  )
}

/** The PARTUUIDs of an MBR are its signature and a number: as a GPT the disk has others. */
function nothingNamesTable({ disk, byPartuuid }: BoxFacts): Problem | undefined {
  if (disk?.table !== 'dos' || byPartuuid.length === 0) return undefined
  return stop(
    `${byPartuuid.join(' and ')} name partitions of ${disk.path} by PARTUUID, which changes with the partition table`,
    'name them by UUID there, as "blkid" prints it; for the kernel GRUB_DISABLE_LINUX_PARTUUID=true in /etc/default/grub and "update-grub"; then restart',
  )
}

/** UEFI reads no boot sector. */
function loaderIsGrub({ grub, disk, efi }: BoxFacts): Problem | undefined {
  if (grub.inBootSector || disk === undefined || efi !== undefined) return undefined
  return stop(
    `the boot sector of ${disk.path} is not GRUB's: what starts this machine is unknown`,
    `"grub-install ${disk.path}" makes it so, if GRUB is what should start it`,
  )
}

function loaderCanBeAsked({ grub }: BoxFacts): Problem | undefined {
  if (!grub.readsCustom)
    return stop(`${GRUB}/grub.cfg does not read custom.cfg`, 'make it anew with "update-grub"')
  if (grub.missing.length === 0) return undefined
  return stop(
    `${GRUB}/${grub.platform} has no ${grub.missing.join(', ')}`,
    'copy GRUB\u2019s modules there with "grub-install"',
  )
}

/** R1: a loader that cannot write that the one start was made would make it for ever. */
function loaderForgets({ boot }: BoxFacts): Problem | undefined {
  if (boot.partition !== undefined && WRITTEN_BY_GRUB.includes(boot.mount.fs)) return undefined
  return stop(
    `${GRUB} is on ${describePlace(boot)}, where GRUB cannot write: a new system that fails would be started again for ever`,
    'put /boot on a partition with ext4',
  )
}

function describePlace({ mount, stack }: Place): string {
  return [mount.fs, ...stack.map(({ type }) => type)].join(' on ')
}

function enoughMemory({ memoryBytes }: BoxFacts): Problem | undefined {
  if (memoryBytes >= SMALLEST_MEMORY) return undefined
  return stop(
    `it has ${formatBytes(memoryBytes)} of memory, ${formatBytes(SMALLEST_MEMORY)} are needed to start a kernel out of an image`,
    'take a machine with 128 MB',
  )
}

function clockIsSane({ now }: BoxFacts): Problem | undefined {
  if (now.getTime() >= EARLIEST) return undefined
  return {
    severity: 'warn',
    text: `the clock says ${now.toISOString()}`,
    hint: 'set it, or TLS and signatures fail',
  }
}

/** To tell the firmware what to start, and to write to the EFI system partition: see `secureLoader`. */
const FOR_UEFI = ['efivarfs', 'vfat', 'nls_cp437', 'nls_ascii']

/** What is against this image on this machine. */
export function imageProblems(
  facts: BoxFacts,
  image: ImageFacts,
  { needsSudo }: Pick<Identity, 'needsSudo'>,
): Problem[] {
  const missing = (names: readonly string[]) => names.filter((name) => !image.modules.has(name))
  const drivers = [
    ...missing(facts.diskModules).map((name) => `${name}, which its disk needs`),
    ...missing(facts.networkModules).map((name) => `${name}, which its network needs`),
    ...missing(facts.efi === undefined ? [] : FOR_UEFI).map((name) => `${name}, which its firmware needs`),
  ]
  const problems: Problem[] = []
  if (drivers.length > 0)
    problems.push(
      stop(
        `the kernel of the image has no ${drivers.join(', and no ')}`,
        'build the image with another kernel',
      ),
    )
  if (image.machine !== facts.machine)
    problems.push(
      stop(
        `the image is for ${image.machine || 'an unknown CPU'}, this is ${facts.machine}`,
        'build the image for this CPU',
      ),
    )
  if (!image.canRehearse)
    problems.push(
      stop(
        'the image cannot be rehearsed',
        'make it with "image prepare" and "image build" of this pine-update',
      ),
    )
  if (needsSudo && !image.hasSudo)
    problems.push(
      stop(
        'whoever logs in becomes root by sudo, which the image has not',
        'put the package sudo into the image',
      ),
    )
  return problems
}
