import { setTimeout as sleep } from 'node:timers/promises'
import { PineError } from '../../src/core/error.ts'
import { mutateBytes } from './bytes.ts'
import {
  accepted,
  defineTarget,
  requireThat,
  type Target,
  type TargetEntry,
  type TargetSpec,
} from './target.ts'

/**
 * Decoders that are wrong in one way each, so that tests can show that the fuzzer sees it. All read the same: `PINE`, a length
 * in two bytes, as many bytes.
 */
const SEED = Buffer.concat([Buffer.from('PINE\x05\x00'), Buffer.from('hello')])

type Broken = Pick<TargetSpec<unknown>, 'decode'> & Partial<TargetSpec<unknown>>

function broken(name: string, spec: Broken): TargetEntry {
  const open = (): Target =>
    defineTarget({
      name,
      seeds: [SEED],
      mutate: (input, random, donor) => mutateBytes(input, random, donor, 200),
      codes: ['BUNDLE_MALFORMED'],
      verdict: () => accepted(),
      ...spec,
    })
  return { name, weight: 0, open }
}

function refuse(why: string): never {
  throw new PineError('BUNDLE_MALFORMED', why)
}

function start(input: Buffer): number {
  if (input.length < 6 || input.toString('latin1', 0, 4) !== 'PINE') refuse('this is no input')
  return input.readUInt16LE(4)
}

/** Each step is half a byte that has to be right; all at once that is one chance in a million. */
function deep(input: Buffer): void {
  const found = start(input)
  for (const [index, wanted] of [...'maze!'].entries())
    if ((input[6 + index] ?? 0) % 16 !== wanted.charCodeAt(0) % 16)
      refuse(`${'no '.repeat(index)}way in ${found} bytes`)
  throw new TypeError('the middle of the maze')
}

const leaked: Buffer[] = []

export const BROKEN: readonly TargetEntry[] = [
  broken('broken-length', {
    // Without a look at how long the input is.
    decode: (input) => input.readUIntBE(start(input), 1),
  }),
  broken('broken-signature', {
    decode: (input) => input.subarray(6, 6 + start(input)),
    verdict(_, input) {
      requireThat(input.equals(SEED), 'it accepts what nobody signed')
      return accepted()
    },
  }),
  broken('broken-code', {
    decode(input) {
      if (start(input) > 1000) throw new PineError('USAGE', 'a code of something else')
    },
  }),
  broken('broken-leak', {
    decode: (input) => void leaked.push(Buffer.alloc(16_384 + start(input))),
  }),
  broken('broken-memory', {
    mostMemory: 64 * 1024 * 1024,
    decode: (input) => Buffer.alloc(start(input) * 4096, 1).length,
  }),
  broken('broken-slow', {
    decode: (input) => (start(input) > 300 ? sleep(60) : undefined),
  }),
  broken('broken-hang', {
    decode(input) {
      while (start(input) > 300);
    },
  }),
  broken('broken-wait', {
    decode: (input) => (start(input) > 300 ? new Promise<void>(() => undefined) : undefined),
  }),
  broken('broken-crash', {
    decode: (input) => (start(input) > 300 ? process.kill(process.pid, 'SIGSEGV') : undefined),
  }),
  broken('broken-deep', { decode: deep }),
]
