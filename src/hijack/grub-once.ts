import type { OldSystem } from './old-system.ts'

/** What the entry of the rehearsal starts. */
export interface RehearsalEntry {
  /** UUID of the old root's file system, to find its partition by. */
  fsUuid: string
  /** Of slot a within that partition, in 512-byte sectors. */
  slot: { start: number; count: number }
  /** The second initrd, as GRUB finds it in the old root. */
  captured: string
  arguments: string
}

export const ENTRY_ID = 'pine-update-rehearsal'
export const REPAIR_ID = 'pine-update-repair'
/** Around either of them: there is one at a time. What is before it may end without a line feed. */
const BEGIN = '\n### BEGIN pine-update rehearsal ###'
const END = '### END pine-update rehearsal ###'

/** The menu entry; `insmod` fails silently where GRUB has a module inside. */
function entryText({ fsUuid, slot, captured, arguments: words }: RehearsalEntry): string {
  return `${BEGIN}
menuentry 'pine-update: rehearsal of the new system' --id ${ENTRY_ID} {
  insmod part_gpt
  insmod part_msdos
  insmod ext2
  insmod xfs
  insmod loopback
  insmod squash4
  insmod gzio
  insmod xzio
  search --no-floppy --fs-uuid --set=root ${fsUuid}
  loopback pine ($root)${slot.start}+${slot.count}
  linux (pine)/boot/vmlinuz ${words}
  initrd (pine)/boot/initrd.img ($root)${captured}
}
${END}
`
}

/** custom.cfg with the entry, in place of an earlier one; whatever else is in it stays. */
export function withEntry(customCfg: string, entry: RehearsalEntry): string {
  return withoutEntry(customCfg) + entryText(entry)
}

/** The old system, as it starts whenever nobody asks for something else. */
export interface RepairEntry extends Pick<OldSystem, 'kernel' | 'initrd' | 'arguments'> {
  /** UUID of the file system that those are on. */
  fsUuid: string
}

/** The same with one that starts the old system, and repairs what fsck finds without asking: systemd-fsck(8). */
export function withRepairEntry(customCfg: string, entry: RepairEntry): string {
  const { fsUuid, kernel, initrd, arguments: words } = entry
  return `${withoutEntry(customCfg)}${BEGIN}
menuentry 'pine-update: the old system, its file system repaired' --id ${REPAIR_ID} {
  insmod part_gpt
  insmod part_msdos
  insmod ext2
  insmod xfs
  insmod gzio
  search --no-floppy --fs-uuid --set=root ${fsUuid}
  linux ${kernel} ${words} panic=10 fsck.repair=yes
  initrd ${initrd}
}
${END}
`
}

export function withoutEntry(customCfg: string): string {
  const [begin, end] = [customCfg.indexOf(BEGIN), customCfg.indexOf(END)]
  return begin < 0 || end < begin
    ? customCfg
    : customCfg.slice(0, begin) + customCfg.slice(end + END.length + 1)
}

const ENV_BYTES = 1024
const ENV_HEADER = '# GRUB Environment Block\n'

/**
 * GRUB's environment block with that variable, or without where `value` is undefined; a block that is none is made anew.
 * The other variables stay. GRUB manual, "The GRUB environment block". Throws where it does not fit.
 */
export function withVariable(block: Uint8Array | undefined, name: string, value: string | undefined): Buffer {
  const lines = linesOf(block).filter((line) => !line.startsWith(`${name}=`))
  if (value !== undefined) lines.push(`${name}=${value}`)
  const text = Buffer.from(ENV_HEADER + lines.map((line) => `${line}\n`).join(''), 'latin1')
  if (text.length > ENV_BYTES) throw new Error(`GRUB's environment block is full: ${text.length} bytes`)
  return Buffer.concat([text, Buffer.alloc(ENV_BYTES - text.length, '#')])
}

/** Undefined where the block has no such variable. */
export function variableIn(block: Uint8Array | undefined, name: string): string | undefined {
  const line = linesOf(block).find((candidate) => candidate.startsWith(`${name}=`))
  return line?.slice(name.length + 1)
}

/** Variables, and the warning that GRUB 2.06 begins with. latin1: whatever bytes there are come out again. */
function linesOf(block: Uint8Array | undefined): string[] {
  const text = Buffer.from(block ?? []).toString('latin1')
  if (!text.startsWith(ENV_HEADER)) return []
  // Behind the last one it is filled up.
  const lines = text.slice(ENV_HEADER.length).replace(/#*$/, '').split('\n')
  return lines.filter((line) => line !== '')
}
