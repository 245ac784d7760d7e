import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  chooseCopy,
  decodeEnvBlock,
  ENV_BLOCK_BYTES,
  encodeEnvBlock,
  newestCopy,
  parseEnvBlock,
} from '../../../src/boot/env-block.ts'
import {
  arm,
  type BootState,
  type BootTarget,
  confirm,
  disarm,
  initialBootState,
} from '../../../src/model/boot-state.ts'
import { simulateLoader } from '../../../src/model/loader.ts'
import { mutateBytes } from '../bytes.ts'
import { few, type Random } from '../random.ts'
import { accepted, defineTarget, type Outcome, refused, requireThat, type TargetEntry } from '../target.ts'
import { mutateLines } from '../text.ts'

const START = initialBootState('a')
const STATES: readonly BootState[] = [
  START,
  arm(START, 'b', 7),
  confirm(arm(START, 'b'), 'b'),
  disarm(arm(START, 'b'), 'b'),
  { ...START, next: 'r', last: 'b', rearms: 0, sequence: 99_999_999 },
]

const WORDS = [
  ...[
    '=',
    '\\',
    '\\\n',
    '#',
    '\0',
    'pine_v=1',
    'pine_v=2',
    'order=ba',
    'next=b',
    'next=r',
    'a_ok=1',
    'a_ok=0',
    'b_ok=1',
  ],
  ...[
    'a_left=0',
    'b_left=7',
    'b_left=8',
    'rearm=7',
    'pine_seq=',
    'pine_end=',
    '00000002',
    '99999999',
    '# GRUB Environment Block',
  ],
]
const mutateText = mutateLines(WORDS)

/** A block of the same length as before, or now and then of another. */
function mutateBlock(block: Buffer, random: Random, donor: Buffer): Buffer {
  const end = block.lastIndexOf('\n') + 1
  const changed = random.once(3)
    ? mutateBytes(block, random, donor)
    : mutateText(block.subarray(0, end), random, donor)
  const room = Buffer.alloc(random.once(20) ? random.below(1100) : ENV_BLOCK_BYTES, '#')
  changed.copy(room)
  return random.once(4) ? repeatSequence(room, random) : room
}

/** Both numbers, so that the copy counts although it was changed. */
function repeatSequence(block: Buffer, random: Random): Buffer {
  const digits = String(
    random.pick([0, 1, 2, 3, 99_999_998, 99_999_999, random.below(100_000_000)]),
  ).padStart(8, '0')
  for (const name of ['pine_seq=', 'pine_end=']) {
    const at = block.indexOf(name)
    if (at >= 0) block.write(digits, at + name.length)
  }
  return block
}

/** Both copies, one after the other. */
export function mutateCopies(input: Buffer, random: Random, donor: Buffer): Buffer {
  const halves = [input.subarray(0, ENV_BLOCK_BYTES), input.subarray(ENV_BLOCK_BYTES)]
  for (let left = few(random, 3); left > 0; left--) {
    const at = random.below(2)
    const block = random.once(8) ? donor.subarray(0, ENV_BLOCK_BYTES) : (halves[at] ?? donor)
    halves[at] = mutateBlock(block, random, donor)
  }
  return Buffer.concat(halves)
}

export const COPIES = STATES.flatMap((state, index) => {
  const other = STATES[(index + 1) % STATES.length] ?? state
  return [Buffer.concat([encodeEnvBlock(state), encodeEnvBlock(other)])]
})

const TARGETS = ['a', 'b', 'r'] as const

/** Whatever can be loaded, and whether or not the disk takes writes: a half-written slot is never started. */
export function requireSafeLoader(state: BootState): void {
  for (let loads = 0; loads < 8; loads++) {
    for (const canSave of [true, false]) {
      const { pick, after, spent } = simulateLoader(state, (target) => canLoad(loads, target), canSave)
      requireThat(pick === null || canLoad(loads, pick), 'what cannot be loaded was started')
      if (pick === null || pick === 'r') continue
      const { confirmed, left } = state.slots[pick]
      requireThat(confirmed || left > 0, `slot ${pick} was never confirmed, has no tries, and is started`)
      requireThat(confirmed || canSave, `a try of slot ${pick} is not counted, and it is started`)
      requireThat(
        confirmed || (after?.slots[pick].left ?? left) < left,
        `a try of slot ${pick} was not counted`,
      )
      requireThat(spent.length <= 3, 'more was spent than there are targets')
    }
  }
}

function canLoad(loads: number, target: BootTarget): boolean {
  return ((loads >> TARGETS.indexOf(target)) & 1) === 1
}

export function requireHarmless(state: BootState): void {
  requireThat(
    JSON.stringify(decodeEnvBlock(encodeEnvBlock(state))) === JSON.stringify(state),
    'a state that cannot be written',
  )
  requireSafeLoader(state)
}

function shapeOf(state: BootState): string {
  const { a, b } = state.slots
  return [state.order, state.next, a.confirmed, b.confirmed, a.left > 0, b.left > 0, state.rearms > 0].join()
}

const model: TargetEntry = {
  name: 'env-block',
  weight: 300_000,
  open: () =>
    defineTarget({
      name: 'env-block',
      seeds: COPIES,
      mutate: mutateCopies,
      decode: (input) => ({
        env0: decodeEnvBlock(input.subarray(0, ENV_BLOCK_BYTES)),
        env1: decodeEnvBlock(input.subarray(ENV_BLOCK_BYTES)),
      }),
      codes: [],
      verdict(copies) {
        for (const state of [copies.env0, copies.env1]) if (state !== undefined) requireHarmless(state)
        const newest = newestCopy(copies)
        requireThat(
          (newest === undefined) === (chooseCopy(copies) === undefined),
          'user space and loader disagree',
        )
        if (newest === undefined) return refused('unusable')
        return accepted(`${shapeOf(newest)} ${copies.env0 === undefined} ${copies.env1 === undefined}`)
      },
    }),
}

/** What `grub-editenv list` prints for the block: GRUB's own parser, the one that the loader has. */
const real: TargetEntry = {
  name: 'env-block-in-grub',
  weight: 5000,
  perRound: 500,
  slowness: 25,
  open: () => {
    const dir = mkdtempSync(join(tmpdir(), 'pine-fuzz-'))
    return defineTarget({
      name: 'env-block-in-grub',
      seeds: STATES.map(encodeEnvBlock),
      mutate: (input, random, donor) => mutateBlock(input, random, donor),
      decode(input) {
        writeFileSync(join(dir, 'env'), input)
        const { status, stdout, error } = spawnSync('grub-editenv', [join(dir, 'env'), 'list'], {
          encoding: 'latin1',
        })
        if (error !== undefined) throw error
        return { ours: parseEnvBlock(input), theirs: status === 0 ? stdout : undefined }
      },
      codes: [],
      verdict: ({ ours, theirs }, input) => compareWithGrub(ours, theirs, input),
      close: () => rmSync(dir, { recursive: true, force: true }),
    })
  },
}

/** GRUB prints every line of a name, we keep the last; a name or value with a newline cannot be told from two lines. */
function compareWithGrub(
  ours: Map<string, string> | undefined,
  theirs: string | undefined,
  input: Buffer,
): Outcome {
  // Of another length than a block: GRUB's tool refuses it, and so does its loader.
  if (input.length !== ENV_BLOCK_BYTES) return refused('no block')
  requireThat(
    (ours === undefined) === (theirs === undefined),
    `ours: ${ours?.size} variables, of GRUB: ${theirs}`,
  )
  if (ours === undefined || theirs === undefined) return refused('no block')
  let left = `\n${theirs}`
  // Long names first: a name with a newline in it has another name at its end.
  for (const [name, value] of [...ours].sort(([one], [other]) => other.length - one.length)) {
    const at = left.lastIndexOf(`\n${name}=`)
    requireThat(at >= 0, `GRUB does not know ${JSON.stringify(name)}: ${JSON.stringify(theirs)}`)
    const isSame = left.startsWith(`\n${name}=${value}\n`, at)
    requireThat(
      isSame || value.includes('\n'),
      `GRUB has another value of ${JSON.stringify(name)}: ${JSON.stringify(theirs)}`,
    )
    if (isSame) left = left.slice(0, at) + left.slice(at + name.length + value.length + 2)
  }
  return accepted(`${Math.min(ours.size, 20)} ${left.length > 1}`)
}

export const envBlockTargets = [model, real]
