import { encodeEnvBlock } from '../src/boot/env-block.ts'
import type { BootState, BootTarget, SlotBootState } from '../src/model/boot-state.ts'

/** What is in a slot's partition. The first four can be booted; the others are what goes wrong. */
export type SlotContent =
  | 'squashfs-gzip'
  | 'squashfs-xz'
  | 'ext4'
  | 'symlinks'
  | 'no-kernel'
  | 'no-initrd'
  | 'not-a-kernel'
  | 'empty'
  | 'half-written'
  | 'corrupt-data'
  | 'kernel-unreadable'
  | 'initrd-unreadable'
  | 'squashfs-zstd'

const BOOTABLE: readonly SlotContent[] = ['squashfs-gzip', 'squashfs-xz', 'ext4', 'symlinks']

/** One boot: bytes of both copies, what the slots hold, and what a person expects to be booted. */
export interface LoaderCase {
  name: string
  env0: Buffer
  env1: Buffer
  picks: BootTarget | null
  a: SlotContent
  b: SlotContent
  /** Undefined: the loader script knows no old system. */
  r?: SlotContent
  /** The disk refuses writes. */
  readOnly?: boolean
}

/** Whether the slot of a case can be loaded. */
export function canLoad({ a, b, r }: LoaderCase, target: BootTarget): boolean {
  const content = { a, b, r }[target]
  return content !== undefined && BOOTABLE.includes(content)
}

const good = (left = 3): SlotBootState => ({ confirmed: true, left, generation: 1 })
const trial = (left: number): SlotBootState => ({ confirmed: false, left, generation: 7 })
const none: SlotBootState = { confirmed: false, left: 0, generation: 0 }

type StateEdit = Partial<Omit<BootState, 'slots'>> & Partial<BootState['slots']>

/** Slot a is good, slot b has nothing, sequence 7; then the edit. */
function state({ a, b, ...edit }: StateEdit): BootState {
  const slots = { a: a ?? good(), b: b ?? none }
  return { sequence: 7, order: 'ab', next: null, rearms: 2, last: null, slots, ...edit }
}

type Machine = Partial<Pick<LoaderCase, 'a' | 'b' | 'r' | 'readOnly'>>
type Row = [name: string, picks: BootTarget | null, edit: StateEdit, machine?: Machine]

const TRIAL_B: StateEdit = { order: 'ba', b: trial(3) }
const SPENT: StateEdit = { a: good(0), b: trial(0), order: 'ba' }

/** Both copies hold the same state. */
const SOUND: Row[] = [
  ['a fresh disk', 'a', {}],
  ['a fresh disk, sequence 0', 'a', { sequence: 0 }],
  ['the highest sequence', 'a', { sequence: 99_999_999 }],
  ['good slot b first', 'b', { order: 'ba', b: good() }],
  ['good slot a first, b good too', 'a', { b: good(), last: 'b' }],
  ['first try of b', 'b', TRIAL_B],
  ['last try of b', 'b', { order: 'ba', b: trial(1), last: 'b' }],
  ['b has no try left', 'a', { order: 'ba', b: trial(0), last: 'b' }],
  ['first try of a', 'a', { order: 'ab', a: trial(3), b: good() }],
  ['a has no try left', 'b', { order: 'ab', a: trial(0), b: good(), last: 'a' }],
  ['b disarmed', 'a', { order: 'ab', b: none }],
  ['two trials', 'a', { a: trial(2), b: trial(2) }],
  ['neither is good, only b has a try', 'b', { a: none, b: trial(1) }],
  ...[1, 2, 3, 4, 5, 6, 7].map((left): Row => [`counting down from ${left}`, 'a', { a: good(left) }]),
  ...[1, 2, 3, 4, 5, 6, 7].map(
    (left): Row => [`b counts down from ${left}`, 'b', { order: 'ba', b: trial(left) }],
  ),

  // One-shots.
  ['next is b', 'b', { next: 'b', b: trial(1) }],
  ['next is a', 'a', { next: 'a', order: 'ba', b: good() }],
  ['next is b without tries', 'a', { next: 'b', b: trial(0) }],
  ['next is b, which cannot be loaded', 'a', { next: 'b', b: trial(2) }, { b: 'no-kernel' }],
  ['next is a, which is first anyway', 'a', { next: 'a' }],
  ['next is a, first anyway, and cannot be loaded', 'b', { next: 'a', b: good() }, { a: 'empty' }],
  ['next is r', 'r', { next: 'r' }, { r: 'ext4' }],
  ['next is r, without an old system', 'a', { next: 'r' }],
  ['next is r, which cannot be loaded', 'a', { next: 'r' }, { r: 'no-kernel' }],
  ['next is b, everything spent', null, { next: 'b', a: none, b: none }],
  ['next is r, everything spent', 'r', { ...SPENT, next: 'r' }, { r: 'squashfs-gzip' }],

  // All tries spent.
  ['spent: a good slot is given one more try', 'a', SPENT],
  ['spent: the last of them', 'a', { ...SPENT, rearms: 1 }],
  ['spent: the most of them', 'a', { ...SPENT, rearms: 7 }],
  ['spent: before the old system', 'a', SPENT, { r: 'ext4' }],
  ['spent: two good slots, in order', 'b', { order: 'ba', a: good(0), b: good(0) }],
  ['spent: good b behind a trial', 'b', { a: trial(0), b: good(0) }],
  [
    'spent: the first good slot cannot be loaded',
    'a',
    { order: 'ba', a: good(0), b: good(0) },
    { b: 'empty' },
  ],
  [
    'spent: it takes the last one',
    'a',
    { order: 'ba', a: good(0), b: good(0), rearms: 1 },
    { b: 'no-initrd' },
  ],
  [
    'spent: it takes the last one, with r',
    'r',
    { a: good(0), b: good(0), rearms: 1 },
    { a: 'empty', r: 'ext4' },
  ],
  ['spent: nothing more to give, r', 'r', { ...SPENT, rearms: 0 }, { r: 'ext4' }],
  ['spent: nothing more to give, uncounted', 'a', { ...SPENT, rearms: 0 }],
  ['spent: uncounted, good b first', 'b', { order: 'ba', a: good(0), b: good(0), rearms: 0 }],
  ['spent: uncounted, r cannot be loaded', 'a', { ...SPENT, rearms: 0 }, { r: 'no-kernel' }],
  ['spent: uncounted, first cannot be loaded', 'b', { a: good(0), b: good(0), rearms: 0 }, { a: 'empty' }],
  ['spent: no good slot, r', 'r', { a: trial(0), b: trial(0) }, { r: 'squashfs-gzip' }],
  ['spent: no good slot, never a half-written one', null, { a: trial(0), b: trial(0) }],

  // What cannot be loaded costs the try.
  ['no kernel in b', 'a', TRIAL_B, { b: 'no-kernel' }],
  ['no initrd in b', 'a', TRIAL_B, { b: 'no-initrd' }],
  ['the kernel of b is no kernel', 'a', TRIAL_B, { b: 'not-a-kernel' }],
  ['b is empty', 'a', TRIAL_B, { b: 'empty' }],
  ['b is half written', 'a', TRIAL_B, { b: 'half-written' }],
  ['b has corrupt data', 'a', TRIAL_B, { b: 'corrupt-data' }],
  ['the kernel of b cannot be read to its end', 'a', TRIAL_B, { b: 'kernel-unreadable' }],
  ['the initrd of b cannot be read to its end', 'a', TRIAL_B, { b: 'initrd-unreadable' }],
  ['b has a compression that the loader cannot read', 'a', TRIAL_B, { b: 'squashfs-zstd' }],
  ['no initrd in a, then b', 'b', { b: trial(1) }, { a: 'no-initrd' }],
  ['two loads of a fail', 'b', { next: 'a', a: good(), b: trial(1) }, { a: 'initrd-unreadable' }],
  ['neither can be loaded', null, TRIAL_B, { a: 'empty', b: 'no-kernel' }],
  ['neither can be loaded, r', 'r', TRIAL_B, { a: 'empty', b: 'no-kernel', r: 'ext4' }],
  ['neither initrd can be loaded, r', 'r', TRIAL_B, { a: 'no-initrd', b: 'initrd-unreadable', r: 'ext4' }],
  ['b cannot be loaded, a is spent but good', 'a', { ...TRIAL_B, a: good(0) }, { b: 'empty' }],
  ['only the good slot that is spent cannot be loaded', null, { a: good(0), b: none }, { a: 'corrupt-data' }],

  // File systems.
  ['squashfs with xz', 'a', {}, { a: 'squashfs-xz' }],
  ['ext4', 'a', {}, { a: 'ext4' }],
  ['kernel and initrd are symbolic links', 'a', {}, { a: 'symlinks' }],

  // A disk that refuses writes.
  ['read-only: a good slot', 'a', {}, { readOnly: true }],
  ['read-only: a trial would be endless', 'a', TRIAL_B, { readOnly: true }],
  ['read-only: two trials', null, { a: trial(2), b: trial(2) }, { readOnly: true }],
  ['read-only: next r would be endless', 'a', { next: 'r' }, { readOnly: true, r: 'ext4' }],
  ['read-only: spent', 'a', SPENT, { readOnly: true }],
]

type Copies = Pick<LoaderCase, 'env0' | 'env1'>
type RawRow = [name: string, picks: BootTarget | null, copies: Copies, machine?: Machine]

const OLD = encodeEnvBlock(state({ sequence: 6, last: 'a' }))
const NEW = encodeEnvBlock(state({ ...TRIAL_B, last: 'a' }))
const FUTURE = edited(NEW, 'pine_v=1', 'pine_v=2')
const SIGNATURE_BYTES = 25

/** The block with a piece of its text replaced; still 1024 bytes. Throws where the text is not there. */
function edited(block: Buffer, from: string, to: string): Buffer {
  const text = block.toString('latin1')
  if (!text.includes(from)) throw new Error(`no ${JSON.stringify(from)} in the block`)
  return Buffer.from(
    text
      .replace(from, () => to)
      .padEnd(1024, '#')
      .slice(0, 1024),
    'latin1',
  )
}

/** A write of `to` over `from` that stopped after that many bytes. */
function torn(to: Buffer, from: Buffer, bytes: number): Buffer {
  return Buffer.concat([to.subarray(0, bytes), from.subarray(bytes)])
}

function filled(byte: number): Buffer {
  return Buffer.alloc(1024, byte)
}

/** Bytes that look random and are the same every time. */
function noise(bytes: number): Buffer {
  let seed = 1
  return Buffer.from(
    Array.from({ length: bytes }, () => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
      return seed >> 16
    }),
  )
}

/** The trial of b in both copies, with one piece of text replaced. */
function odd(
  name: string,
  picks: BootTarget | null,
  [from, to]: [string, string],
  machine?: Machine,
): RawRow {
  const block = edited(NEW, from, to)
  return [name, picks, { env0: block, env1: block }, machine ?? {}]
}

const RAW: RawRow[] = [
  // One copy is unusable.
  ['env0 has no signature', 'b', { env0: edited(NEW, '# GRUB', '# grub'), env1: NEW }],
  ['env0 is zeros', 'b', { env0: filled(0), env1: NEW }],
  ['env0 is ones', 'b', { env0: filled(0xff), env1: NEW }],
  ['env0 is noise', 'b', { env0: noise(1024), env1: NEW }],
  ['env0 is only the signature', 'b', { env0: torn(NEW, filled(0x23), SIGNATURE_BYTES), env1: NEW }],
  ['env0 is cut short', 'b', { env0: torn(NEW, filled(0), 150), env1: NEW }],
  [
    'env0 is cut short in its last value',
    'b',
    { env0: edited(NEW, 'pine_end=00000007\n', 'pine_end=000'), env1: NEW },
  ],
  [
    'env0 has no newline at its end',
    'b',
    { env0: edited(NEW, 'pine_end=00000007\n', 'pine_end=00000007'), env1: NEW },
  ],
  ['env0 has no pine_end', 'b', { env0: edited(NEW, 'pine_end=00000007\n', ''), env1: NEW }],
  ['env0 has no pine_v', 'b', { env0: edited(NEW, 'pine_v=1\n', ''), env1: NEW }],
  [
    'env0 has an empty sequence',
    'a',
    { env0: edited(edited(NEW, '=00000007', '='), '_end=00000007', '_end='), env1: OLD },
  ],
  [
    'env0 has a short sequence',
    'a',
    { env0: edited(edited(NEW, '=00000007', '=7'), '_end=00000007', '_end=7'), env1: OLD },
  ],
  ['env0 is of a later version', 'a', { env0: FUTURE, env1: OLD }],
  ['env1 is zeros', 'b', { env0: NEW, env1: filled(0) }],
  ['env1 is of a later version', 'b', { env0: NEW, env1: FUTURE }],
  ['env1 is torn', 'b', { env0: NEW, env1: torn(NEW, OLD, 60) }],

  // The writer was cut off between or inside the copies.
  ['env0 is new, env1 still old', 'b', { env0: NEW, env1: OLD }],
  ['env0 is old, env1 new', 'a', { env0: OLD, env1: NEW }],
  ['env0 torn between its sectors', 'b', { env0: torn(NEW, OLD, 512), env1: OLD }],
  ...[30, 43, 50, 71, 97, 130].map(
    (at): RawRow => [`env0 torn at byte ${at}`, 'a', { env0: torn(NEW, OLD, at), env1: OLD }],
  ),
  ['env0 torn backwards', 'a', { env0: torn(OLD, NEW, 137), env1: OLD }],
  [
    'the loader counted in env0 only',
    'b',
    { env0: encodeEnvBlock(state({ ...TRIAL_B, b: trial(1) })), env1: NEW },
  ],
  [
    'the loader counted in env1 only',
    'b',
    { env0: filled(0), env1: encodeEnvBlock(state({ ...TRIAL_B, b: trial(1) })) },
  ],
  ['spent in env0, still tries in env1', 'a', { env0: encodeEnvBlock(state(SPENT)), env1: NEW }],

  // Both are unusable: any slot is better than none.
  ['both destroyed', 'a', { env0: filled(0), env1: noise(1024) }],
  ['both destroyed, a cannot be loaded', 'b', { env0: filled(0), env1: filled(0) }, { a: 'empty' }],
  ['both destroyed, r', 'r', { env0: filled(0), env1: filled(0) }, { r: 'ext4' }],
  [
    'both destroyed, nothing can be loaded',
    null,
    { env0: filled(0), env1: filled(0) },
    { a: 'empty', b: 'no-initrd' },
  ],
  ['both of a later version', 'a', { env0: FUTURE, env1: FUTURE }],
  ['both torn', 'a', { env0: torn(NEW, OLD, 60), env1: torn(NEW, OLD, 60) }],
  [
    'destroyed, with good-looking values',
    'a',
    { env0: edited(NEW, 'pine_end=00000007', 'pine_end=00000008'), env1: filled(0) },
  ],

  // Values that nobody writes.
  odd('b_left above 7', 'a', ['b_left=3', 'b_left=9']),
  odd('b_left of two digits', 'a', ['b_left=3', 'b_left=33']),
  odd('b_left negative', 'a', ['b_left=3', 'b_left=-3']),
  odd('b_left empty', 'a', ['b_left=3', 'b_left=']),
  odd('b_left missing', 'a', ['b_left=3\n', '']),
  odd('order twice, the later counts', 'a', ['last=a', 'last=a\norder=ab']),
  odd('order of garbage', 'a', ['order=ba', 'order=zz']),
  odd('order missing', 'a', ['order=ba\n', '']),
  odd('a_ok is a word', null, ['a_ok=1', 'a_ok=yes'], { b: 'empty', a: 'empty' }),
  odd('next of garbage', 'b', ['next=-', 'next=zap']),
  odd('next missing', 'b', ['next=-\n', '']),
  odd('rearm of garbage', 'b', ['rearm=2', 'rearm=x']),
  odd('last of garbage', 'b', ['last=a', 'last=qqqqqqqq']),
  odd('variables of a later pine-update', 'b', ['last=a', 'last=a\nhealth=deep']),
  odd('a line without a value swallows the next name', 'a', ['b_left', 'garbage\nb_left']),
  odd('a zero byte in a value', 'b', ['b_left=3', 'b_left=3\0three']),
  odd('an escaped newline in a value', 'a', ['b_left=3', 'b_left=3\\\n3']),
  odd('a comment in the middle', 'b', ['rearm', '# b_left=0\nrearm']),

  // Hostile values: they must stay values.
  odd('root and prefix are not taken over', 'b', [
    'last=a',
    'last=a\nroot=hd9\nprefix=(hd9)\ncopy=none\ndisk=hd9',
  ]),
  odd('a generation with kernel arguments', 'b', ['b_gen=00000007', 'b_gen=00000007 init=/bin/sh']),
  odd('a generation that is no number', 'b', ['a_gen=00000001', 'a_gen=x']),
  odd('a variable name as value', 'a', ['b_left=3', 'b_left=$a_left']),
  odd('a command as value', 'a', ['b_left=3', 'b_left=3; reboot']),
  odd('quotes as value', 'a', ['b_left=3', 'b_left=3" "']),
  odd('an option as value', 'a', ['b_left=3', 'b_left=--set=1:b_left']),
  odd('an operator as value', 'b', ['last=a', 'last=!']),
  odd('a pattern as value', 'a', ['order=ba', 'order=*']),
  ...['!', '(', '-h', '-n', '1 = 1 -o 1'].map((word) =>
    odd(`pine_v is ${word}`, 'a', ['pine_v=1', `pine_v=${word}`]),
  ),

  // Readable, but the loader's own save refuses: nothing is counted.
  ['noise behind env0, a trial', 'a', { env0: torn(NEW, noise(1024), 512), env1: NEW }],
  ['noise behind env0, a good slot', 'a', { env0: torn(OLD, noise(1024), 512), env1: OLD }],
  odd('no room for a missing variable', 'a', ['b_left=3\n', `junk=${'j'.repeat(790)}\n`]),
]

function caseOf(name: string, picks: BootTarget | null, content: Copies & Machine): LoaderCase {
  return { name, picks, a: 'squashfs-gzip', b: 'ext4', ...content }
}

/** The table: the model and real GRUB must agree on every row. */
export const LOADER_CASES: readonly LoaderCase[] = [
  ...SOUND.map(([name, picks, edit, machine]) => {
    const block = encodeEnvBlock(state(edit))
    return caseOf(name, picks, { env0: block, env1: block, ...machine })
  }),
  ...RAW.map(([name, picks, copies, machine]) => caseOf(name, picks, { ...copies, ...machine })),
]

/** A case by its name, for the tests that change something about the machine. */
export function caseNamed(name: string): LoaderCase {
  const found = LOADER_CASES.find((loaderCase) => loaderCase.name === name)
  if (found === undefined) throw new Error(`no case ${name}`)
  return found
}
