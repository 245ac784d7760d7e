const SIGNATURE_BYTES = 25
const HASH = 0x23
const NEWLINE = 0x0a
const BACKSLASH = 0x5c

/** Offset behind the last variable; undefined where GRUB calls the block broken. */
function freeSpace(block: Buffer): number | undefined {
  let last = block.length - 1
  while (last >= 0 && block[last] === HASH) last--
  return block[last] === NEWLINE ? last + 1 : undefined
}

function endOfValue(block: Buffer, from: number): number {
  let at = from
  while (at < block.length && block[at] !== NEWLINE) at += block[at] === BACKSLASH ? 2 : 1
  return at
}

/** Offset of the value of `name`, which has to be at the start of a line before `end`. */
function findValue(block: Buffer, name: string, end: number): number | undefined {
  const wanted = Buffer.from(`${name}=`)
  let at = SIGNATURE_BYTES
  while (at + wanted.length < end) {
    if (block.subarray(at, at + wanted.length).equals(wanted)) return at + wanted.length
    at = endOfValue(block, at) + 1
  }
  return undefined
}

function setVariable(block: Buffer, name: string, value: string): Buffer | undefined {
  const end = freeSpace(block)
  if (end === undefined) return undefined
  const from = findValue(block, name, end)
  if (from === undefined) {
    const line = Buffer.from(`${name}=${value}\n`)
    if (block.length - end < line.length) return undefined
    return Buffer.concat([block.subarray(0, end), line, block.subarray(end + line.length)])
  }
  const to = endOfValue(block, from)
  if (to >= end || block.length - end < value.length - (to - from)) return undefined
  const changed = Buffer.concat([block.subarray(0, from), Buffer.from(value), block.subarray(to, end)])
  return Buffer.concat([changed, Buffer.alloc(Math.max(0, block.length - changed.length), '#')])
}

/**
 * What GRUB's `save_env` makes of a block: values are replaced in place, missing variables go behind the last one.
 * Undefined where it refuses, and then it writes nothing. The values must need no escapes.
 */
export function saveVariables(block: Buffer, variables: readonly [string, string][]): Buffer | undefined {
  let now: Buffer | undefined = block
  for (const [name, value] of variables) now = now && setVariable(now, name, value)
  return now
}
