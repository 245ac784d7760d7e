/** A partition as GRUB and the kernel name it. */
export interface BootPartition {
  /** GRUB's name within its disk: `gpt4`, `msdos1`. */
  part: string
  partuuid: string
}

export function bootPartition({ number, uuid }: { number: number; uuid: string }): BootPartition {
  return { part: `gpt${number}`, partuuid: uuid }
}

/** How another system on the disk is started, with its own kernel. */
export interface BootFiles {
  /** GRUB's name of the partition that both files are on. */
  part: string
  /** Paths within that partition. */
  kernel: string
  initrd: string
  /** Its command line, with the root that it names. */
  arguments: string
}

export interface GrubCfgValues {
  a: BootPartition
  b: BootPartition
  /** The old system, during a takeover. */
  r?: BootFiles
  /** PARTUUID of the state partition. */
  statePartuuid: string
  /** Further kernel arguments for both slots, such as `console=ttyS0`. */
  append: string
  /** How long the loader waits before it starts over when nothing can be booted. */
  sleepSeconds: number
}

const PART = /^(gpt|msdos)[0-9]{1,3}$/
const PARTUUID = /^[0-9A-Fa-f-]{1,40}$/
// No quotes, backslash, $, ;, #, braces, * or newline: each of them means something to GRUB's script parser.
export const APPEND = /^[A-Za-z0-9 ._,:=/@+-]*$/
/** What `APPEND` is for arguments, for paths of kernels. */
export const BOOT_PATH = /^(\/[A-Za-z0-9._+~-]+)+$/

function checked(name: string, value: string, allowed: RegExp): string {
  if (!allowed.test(value))
    throw new Error(`${name} of grub.cfg must match ${allowed}: ${JSON.stringify(value)}`)
  return value
}

function slot(name: string, value: BootPartition): Record<string, string> {
  return {
    [`${name}_part`]: checked(`${name}_part`, value.part, PART),
    [`${name}_partuuid`]: checked(`${name}_partuuid`, value.partuuid, PARTUUID),
  }
}

/** Without a partition the loader passes over it. */
function oldSystem(files: BootFiles | undefined): Record<string, string> {
  if (files === undefined) return { r_part: '', r_kernel: '', r_initrd: '', r_arguments: '' }
  return {
    r_part: checked('r_part', files.part, PART),
    r_kernel: checked('r_kernel', files.kernel, BOOT_PATH),
    r_initrd: checked('r_initrd', files.initrd, BOOT_PATH),
    r_arguments: checked('r_arguments', files.arguments, APPEND),
  }
}

/**
 * Fills `@name@` in the template `src/system/grub.cfg`. Throws on a placeholder without a value, a value without a
 * placeholder, and a value with characters that GRUB would not take literally.
 */
export function renderGrubCfg(template: string, values: GrubCfgValues): string {
  const fills: Record<string, string> = {
    ...slot('a', values.a),
    ...slot('b', values.b),
    ...oldSystem(values.r),
    state_partuuid: checked('state_partuuid', values.statePartuuid, PARTUUID),
    append: checked('append', values.append, APPEND),
    sleep_seconds: checked('sleep_seconds', String(values.sleepSeconds), /^[0-9]{1,4}$/),
  }
  const unused = new Set(Object.keys(fills))
  const text = template.replace(/@([a-z_]+)@/g, (_, name: string) => {
    const value = fills[name]
    if (value === undefined) throw new Error(`grub.cfg asks for an unknown value: @${name}@`)
    unused.delete(name)
    return value
  })
  if (unused.size > 0) throw new Error(`grub.cfg has no place for: ${[...unused].join(', ')}`)
  return text
}
