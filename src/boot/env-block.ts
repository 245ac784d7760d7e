import type { BootState, BootTarget, SlotBootState } from '../model/boot-state.ts'

/** Payload bytes of one copy. GRUB ignores a block of another length. */
export const ENV_BLOCK_BYTES = 1024
/** What one write changes as a whole on any disk. */
const SECTOR_BYTES = 512
const SIGNATURE = '# GRUB Environment Block\n'
const BACKSLASH = 0x5c
const NEWLINE = 0x0a
const HASH = 0x23
const EQUALS = 0x3d

const VERSION = '1'
const NUMBER = /^[0-9]{8}$/
const DIGIT = /^[0-7]$/

function eightDigits(value: number): string {
  if (!Number.isSafeInteger(value) || value < 0 || value > 99_999_999) {
    throw new Error(`not a number of at most eight digits: ${value}`)
  }
  return String(value).padStart(8, '0')
}

function oneDigit(value: number): string {
  if (!DIGIT.test(String(value))) throw new Error(`not 0 to 7: ${value}`)
  return String(value)
}

function slotVariables(name: 'a' | 'b', slot: SlotBootState): [string, string][] {
  return [
    [`${name}_ok`, slot.confirmed ? '1' : '0'],
    [`${name}_left`, oneDigit(slot.left)],
    [`${name}_gen`, eightDigits(slot.generation)],
  ]
}

/**
 * A GRUB environment block, 1024 bytes. Every value has a fixed width, so that the loader's save changes characters in
 * place; all variables end within the first sector, so that a torn write of the two leaves the old or the new block.
 */
export function encodeEnvBlock(state: BootState): Buffer {
  const sequence = eightDigits(state.sequence)
  const variables: [string, string][] = [
    ['pine_v', VERSION],
    ['pine_seq', sequence],
    ['order', state.order],
    ['next', state.next ?? '-'],
    ...slotVariables('a', state.slots.a),
    ...slotVariables('b', state.slots.b),
    ['rearm', oneDigit(state.rearms)],
    ['last', state.last ?? '-'],
    ['pine_end', sequence],
  ]
  const text = SIGNATURE + variables.map(([name, value]) => `${name}=${value}\n`).join('')
  if (text.length > SECTOR_BYTES)
    throw new Error(`the boot state takes ${text.length} bytes, more than a sector`)
  const block = Buffer.alloc(ENV_BLOCK_BYTES, '#')
  block.write(text, 0, 'latin1')
  return block
}

/** Index of the first unescaped newline, or past the end. */
function endOfLine(block: Uint8Array, from: number): number {
  let at = from
  while (at < block.length && block[at] !== NEWLINE) at += block[at] === BACKSLASH ? 2 : 1
  return at
}

/** C strings end at a zero byte; a backslash takes the next character literally. */
function unescaped(bytes: Uint8Array): string {
  const text = Buffer.from(bytes)
    .toString('latin1')
    .replace(/\\([\s\S])/g, '$1')
  return text.split('\0', 1)[0] ?? ''
}

/**
 * Variables as GRUB's own parser sees them (2.06 and 2.12, lib/envblk.c): a line without `=` becomes part of the next
 * name, a later value wins, and parsing ends at the first value without a newline.
 */
export function parseEnvBlock(block: Uint8Array): Map<string, string> | undefined {
  const variables = new Map<string, string>()
  if (Buffer.from(block.subarray(0, SIGNATURE.length)).toString('latin1') !== SIGNATURE) return undefined
  let at = SIGNATURE.length
  while (at < block.length) {
    let end = at
    if (block[at] !== HASH) {
      const equals = block.indexOf(EQUALS, at)
      if (equals < 0) break
      end = endOfLine(block, equals + 1)
      if (end >= block.length) break
      const name = Buffer.from(block.subarray(at, equals)).toString('latin1').split('\0', 1)[0] ?? ''
      variables.set(name, unescaped(block.subarray(equals + 1, end)))
    }
    at = endOfLine(block, end) + 1
  }
  return variables
}

function targetOf(text: string | undefined): BootTarget | null {
  return text === 'a' || text === 'b' || text === 'r' ? text : null
}

function digitOf(text: string | undefined): number {
  return text !== undefined && DIGIT.test(text) ? Number(text) : 0
}

function slotOf(variables: Map<string, string>, name: 'a' | 'b'): SlotBootState {
  const generation = variables.get(`${name}_gen`) ?? ''
  return {
    confirmed: variables.get(`${name}_ok`) === '1',
    left: digitOf(variables.get(`${name}_left`)),
    generation: NUMBER.test(generation) ? Number(generation) : 0,
  }
}

/**
 * The boot state in one copy, exactly as the loader reads it; undefined where the loader would not use this copy. Single
 * bad values become harmless ones, as in `src/system/grub.cfg`.
 */
export function decodeEnvBlock(block: Uint8Array): BootState | undefined {
  const variables = parseEnvBlock(block)
  if (variables?.get('pine_v') !== VERSION) return undefined
  const sequence = variables.get('pine_seq') ?? ''
  // The last variable repeats the sequence: a torn write has two different ones.
  if (!NUMBER.test(sequence) || variables.get('pine_end') !== sequence) return undefined
  return {
    sequence: Number(sequence),
    order: variables.get('order') === 'ba' ? 'ba' : 'ab',
    next: targetOf(variables.get('next')),
    slots: { a: slotOf(variables, 'a'), b: slotOf(variables, 'b') },
    rearms: digitOf(variables.get('rearm')),
    last: targetOf(variables.get('last')),
  }
}

/** Both copies, decoded. */
export interface EnvCopies {
  env0: BootState | undefined
  env1: BootState | undefined
}

/** The copy the loader uses, and the only one it writes: env0 where it is valid. */
export function chooseCopy({ env0, env1 }: EnvCopies): BootState | undefined {
  return env0 ?? env1
}

/** What the loader can still spend; it only ever makes this smaller. */
function stillToSpend(state: BootState): number {
  return state.slots.a.left + state.slots.b.left + state.rearms + (state.next === null ? 0 : 1)
}

/**
 * The copy that was written last, for user space: the higher sequence. At equal sequences the loader has written one of
 * them since, namely the one with less left to spend.
 */
export function newestCopy({ env0, env1 }: EnvCopies): BootState | undefined {
  if (env0 === undefined || env1 === undefined) return env0 ?? env1
  if (env0.sequence !== env1.sequence) return env0.sequence > env1.sequence ? env0 : env1
  return stillToSpend(env1) < stillToSpend(env0) ? env1 : env0
}
